"""Tokens against a real token endpoint, and a resource that wants them: one grant for the whole fleet."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.core.errors import BackendDenied, Code, NoAnswer, NoToken
from gateway.core.messages import Ask
from gateway.declared.catalog import Catalog, compile_catalog, read
from gateway.declared.mask import mask_of
from gateway.declared.secrets import HIDDEN
from gateway.declared.tokens import OAuth2Auth
from gateway.fleet.board import FleetBoard
from gateway.history.entries import LookupEntry
from gateway.history.making import Attempt, Noted, make_entry
from gateway.lookups.credentials import token
from gateway.lookups.credentials.grants import Grant, GrantFailed, open_grant
from gateway.lookups.http import HttpBackend
from gateway.lookups.reach import Reach
from gateway.resilience.board import Board
from gateway.resilience.policy import Call
from gateway.resilience.stack import Runner, stack
from gateway.telemetry import events
from gateway.telemetry.events import Event
from gateway.tools.connections import look
from gateway.tools.trial.run import try_lookup
from gateway.tools.trial.show import as_dict
from gateway.wire.keys import Keys
from gateway.wire.link import RedisLink
from tests.asking import serving
from tests.desk import Place, when
from tests.vendor import vendor

OAUTH2 = """
[backends.crm.auth]
type = "oauth2"
token_url = "{url}/token"
client_id = "deskgate"
client_secret = "${{SECRET}}"
"""
REFRESHING = """
[backends.crm.auth]
type = "oauth2"
token_url = "{url}/token"
client_id = "deskgate"
client_secret = "long-secret"
grant_type = "refresh_token"
refresh_token = "first"
"""
LOGIN = """
[backends.crm.auth]
type = "login"
request = {{ path = "/token", query = {{ corpid = "c1", corpsecret = "${{SECRET}}" }} }}
token = "access_token"
expires_in = "expires_in"
place = {{ query = "access_token" }}
"""
SECRET = "s3cret {of} brace"
FINISHED = {
    "trace_id": "t1",
    "session": "s1",
    "lookup": "value",
    "backend": "crm",
    "code": 0,
    "queue_ms": 0.0,
    "backend_ms": 1.0,
    "reason": "",
}
WITHOUT_VALUES = {"app": 1, "user": "", "inputs": {}, "variables": {}, "found": True}


def declared(
    url: str,
    auth: str = OAUTH2,
    more: str = "",
    lookup: str = 'request = { path = "/v" }',
    before: str = "",
    **environ: str,
) -> Catalog:
    """Return the configuration of one backend and one lookup."""
    if "attempt_timeout" not in more:
        more += '\nattempt_timeout = "4s"'
    text = (
        f'{before}[backends.crm]\nurl = "{url}"\nidle_before_reuse = "0s"\n{more}\n{auth.format(url=url)}\n'
        f'[lookups.value]\nbackend = "crm"\n{lookup}\nvariables = {{ v = "v" }}\n'
    )
    return compile_catalog(*read(text, {"SECRET": SECRET} | environ))


class Process:
    """A backend under its policies, as one process asks it."""

    def __init__(self, catalog: Catalog, board: Board) -> None:
        """Open it."""
        self.catalog = catalog
        settings = catalog.settings.backends["crm"]
        self.http = HttpBackend(settings, "crm", board)
        self.policies: Runner = stack(settings, board, "crm")

    async def ask(self, hedge: float | None = None) -> str:
        """Ask for the value; raise NoAnswer."""
        ask = Ask("value", {}, 1, "s1", "t1", 5.0)

        async def make() -> str:
            finding = await self.http.ask(self.catalog.lookups["value"], ask)
            return finding.variables["v"]

        self.call = Call(make, asyncio.get_running_loop().time() + 5.0, hedge=hedge)
        answer: str = await self.policies(self.call)
        return answer


def grant_of(catalog: Catalog) -> Grant:
    """Return what asks for the tokens of the backend."""
    settings = catalog.settings.backends["crm"]
    assert isinstance(settings.auth, OAuth2Auth)
    return open_grant(settings.auth, settings, "crm", Reach(settings))


@asynccontextmanager
async def alone(catalog: Catalog) -> AsyncIterator[Process]:
    """One process without Redis."""
    process = Process(catalog, Board())
    try:
        yield process
    finally:
        await process.http.close()


@asynccontextmanager
async def fleet(place: Place, catalog: Catalog, size: int) -> AsyncIterator[list[Process]]:
    """Several processes with one board."""
    async with AsyncExitStack() as parts:
        processes = []
        for _ in range(size):
            link, keys = RedisLink(place.redis_url, 1.0), Keys(place.prefix)
            parts.push_async_callback(link.close)
            board = FleetBoard(link, keys)
            parts.push_async_callback(board.close)
            await link.start()
            await board.start(2.0)
            processes.append(Process(catalog, board))
            parts.push_async_callback(processes[-1].http.close)
        yield processes


async def asked(process: Process, hedge: float | None = None) -> str | NoAnswer:
    """Return the value, or why there is none."""
    try:
        return await process.ask(hedge)
    except NoAnswer as error:
        return error


async def test_burst_in_four_processes_is_one_grant(place: Place) -> None:
    """At some vendors a second one kills the first."""
    async with vendor() as (crm, url), fleet(place, declared(url), 4) as processes:
        answers = await asyncio.gather(*(asked(one) for one in processes for _ in range(10)))
        assert answers == ["T1"] * 40
        assert len(crm.grants) == 1
        form = parse_qs(crm.grants[0]["body"])
    assert form == {
        "grant_type": ["client_credentials"],
        "client_id": ["deskgate"],
        "client_secret": [SECRET],
    }
    assert set(crm.calls) == {"Bearer T1"}


async def test_token_that_dies_in_mid_flight_costs_one_attempt_more_and_one_grant(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one for each call that hears of it."""
    monkeypatch.setattr(token, "EARLY", 0.0)  # the token is old
    async with vendor() as (crm, url), fleet(place, declared(url), 3) as processes:
        await asyncio.gather(*(asked(one) for one in processes))
        crm.kill_token()
        answers = await asyncio.gather(*(asked(one) for one in processes for _ in range(10)))
        assert answers == ["T2"] * 30
        assert len(crm.grants) == 2


async def test_token_that_dies_costs_a_hedged_lookup_no_more_than_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no retries, and this is none."""
    monkeypatch.setattr(token, "EARLY", 0.0)
    async with vendor() as (crm, url), alone(declared(url)) as process:
        assert await process.ask(hedge=2.0) == "T1"
        crm.kill_token()
        assert await process.ask(hedge=2.0) == "T2"
        assert process.call.attempts == 2
        crm.refuses_all = True
        assert isinstance(await asked(process, hedge=2.0), BackendDenied)
        assert process.call.attempts == 2


async def test_fresh_token_that_is_refused_is_not_asked_for_again() -> None:
    """The vendor refuses us, and no token: a thousand grants would get us banned."""
    async with vendor() as (crm, url), alone(declared(url)) as process:
        crm.refuses_all = True
        errors = [await asked(process) for _ in range(20)]
        assert all(isinstance(error, BackendDenied) for error in errors)
        assert len(crm.grants) == 1
        assert process.call.attempts == 1


async def test_lookup_that_alone_is_refused_takes_the_token_from_no_other(place: Place) -> None:
    """Some CRMs say 401 of a record that the token may not read: one visitor's number would deny all."""
    async with vendor() as (crm, url), fleet(place, declared(url), 2) as (one, other):
        assert await other.ask() == "T1"
        crm.refuses_all = True
        assert isinstance(await asked(one), BackendDenied)
        crm.refuses_all = False
        assert (await asked(one), await asked(other)) == ("T1", "T1")
        assert len(crm.grants) == 1


def test_tokens_that_are_refused_one_after_the_other_are_asked_for_less_and_less() -> None:
    """A lookup that is always refused costs one grant a minute, and no call of another lookup."""
    now, one = 1000.0, token.NONE
    grants: list[float] = []
    for _ in range(400):
        if not one.valid(now):
            leased = one.lease("me", now, 15.0)
            assert leased is not None
            granted = leased.granted("me", f"T{len(grants)}", 7200.0, "", now)
            assert granted is not None
            one, grants = granted, [*grants, now]
        one = one.dropped(one.text, now) or one
        now += 1.0
    waits = [after - before for before, after in pairwise(grants)]
    assert waits == [11, 21, 41, 61, 61, 61, 61, 61]  # it is refused in the second after its stay


@pytest.mark.parametrize(
    ("reply", "reason", "kind"),
    [
        (
            (401, {"error": "invalid_client", "error_description": "s3cret"}, {}),
            "invalid_client",
            BackendDenied,
        ),
        ((400, {"error": "<script>"}, {}), "the token endpoint answered 400", BackendDenied),
        ((200, {"errcode": 40013, "errmsg": "invalid appid"}, {}), "errcode 40013", BackendDenied),
        ((200, {"access_token": ""}, {}), "the reply has no token", BackendDenied),
        ((200, {"access_token": "a\r\nX: y"}, {}), "the reply has no token", BackendDenied),
        ((200, {"access_token": 7}, {}), "the reply has no token", BackendDenied),
        ((200, ["access_token"], {}), "the reply has no token", BackendDenied),
        ((302, {}, {"Location": "/login"}), "the token endpoint answered 302", BackendDenied),
        ((503, {}, {}), "the token endpoint answered 503", NoToken),
        ((429, {}, {"Retry-After": "30"}), "asked for again in 30 s", NoToken),
        ((429, {}, {"Retry-After": "999999999"}), "asked for again in 60 s", NoToken),
        ((503, {}, {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}), "asked for again in 60 s", NoToken),
    ],
)
async def test_grant_that_fails_is_told_by_its_reason_and_not_repeated_at_once(
    reply: tuple[int, object, dict[str, str]], reason: str, kind: type[NoAnswer]
) -> None:
    """Never with the secret."""
    async with vendor() as (crm, url), alone(declared(url)) as process:
        crm.reply = reply
        with capture_logs() as lines:
            errors = [await asked(process) for _ in range(10)]
        assert all(isinstance(error, kind) for error in errors)
        assert reason in str(errors[-1])
        assert str(errors[-1]).startswith("token: ")
        assert len(crm.grants) == 1
        assert crm.calls == []
    assert [line["event"] for line in lines] == ["token.failed"]
    assert "s3cret" not in str(lines) + str(errors)


async def test_token_endpoint_that_hangs_or_is_gone_costs_an_attempt_and_no_more() -> None:
    """The backend's breaker does not count it: the backend was not asked."""
    limits = 'attempt_timeout = "200ms"\nattempts = 1'
    async with vendor() as (crm, url), alone(declared(url, more=limits)) as process:
        crm.gate.clear()
        for _ in range(20):
            error = await asked(process)
            assert isinstance(error, NoToken)
            assert not error.backend_failed
            assert str(error) == "token: not granted within 180 ms"
        crm.gate.set()
        await when(lambda: crm.good)
        assert await process.ask() == "T1"
        assert len(crm.grants) == 1
    gone = OAUTH2.replace("{url}/token", "http://127.0.0.1:1/token")
    async with vendor() as (crm, url), alone(declared(url, gone, limits)) as process:
        error = await asked(process)
        assert isinstance(error, NoToken)
        assert str(error).startswith("token: no connection: Connection refused")


async def test_name_of_the_token_endpoint_is_looked_up_off_the_shared_threads() -> None:
    """A process that is told to stop waits for these: with a name server that hangs, half a minute."""
    with ThreadPoolExecutor() as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        pool.shutdown()  # it takes no work any more
        async with vendor() as (_, url):
            named = url.replace("127.0.0.1", "localhost")
            async with alone(declared(url, OAUTH2.replace("{url}", named))) as process:
                assert await process.ask() == "T1"


async def test_token_is_renewed_behind_the_calls_before_it_ends() -> None:
    """No callback waits for a grant but the very first one."""
    async with vendor(expires_in=1) as (crm, url), alone(declared(url)) as process:
        await process.http.start()
        await when(lambda: crm.good)
        await when(lambda: len(crm.grants) > 1)
        crm.gate.clear()
        assert await process.ask() in {"T2", "T3"}
        crm.gate.set()


async def test_calls_renew_a_token_that_is_due_and_go_on_with_the_old_one() -> None:
    """A process that did not ask ahead, such as a gateway, does it with its first call."""
    async with vendor(expires_in=1) as (crm, url), alone(declared(url)) as process:
        assert await process.ask() == "T1"
        begun = asyncio.get_running_loop().time()
        await when(lambda: asyncio.get_running_loop().time() - begun > 0.85)
        assert await process.ask() == "T1"
        await when(lambda: len(crm.grants) == 2)


async def test_login_sends_its_request_and_puts_the_token_where_it_belongs() -> None:
    """A brace of a password is a brace."""
    async with vendor() as (crm, url), alone(declared(url, LOGIN)) as process:
        assert await process.ask() == "T1"
        assert crm.grants[0]["query"] == {"corpid": "c1", "corpsecret": SECRET}
        assert crm.calls == ["T1"]


@pytest.mark.parametrize(
    ("said", "life"), [("7200", 7200.0), (None, 300.0), ("soon", 300.0), (-1, 300.0), (1e99, 300.0)]
)
async def test_life_of_a_token_is_what_the_reply_says_if_it_makes_sense(said: object, life: float) -> None:
    """Else the declared lifetime."""
    async with vendor(expires_in=said) as (_, url), alone(declared(url)) as process:
        with capture_logs() as lines:
            await process.ask()
    assert [(line["event"], line["seconds"]) for line in lines] == [("token.granted", life)]


async def test_basic_client_credentials_and_further_parameters() -> None:
    """RFC 6749, 2.3.1: id and secret are encoded before they are joined."""
    more = (
        OAUTH2
        + 'client_auth = "basic"\nscopes = ["a", "b"]\naudience = "api"\n'
        + 'endpoint_params = {{ tenant = "t1" }}\n'
    )
    async with vendor() as (crm, url), alone(declared(url, more)) as process:
        await process.ask()
        grant = crm.grants[0]
    assert parse_qs(grant["body"]) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["api"],
        "tenant": ["t1"],
    }
    assert grant["headers"]["Authorization"].startswith(
        "Basic ZGVza2dhdGU6czNjcmV0JTIwJTdCb2YlN0QlMjBicmFjZQ"
    )


async def test_refresh_token_that_the_server_changes_is_used_from_then_on() -> None:
    """The old one is dead after its first use, at many vendors."""
    auth = OAUTH2 + 'grant_type = "refresh_token"\nrefresh_token = "R0"\n'
    async with vendor() as (crm, url), alone(declared(url, auth)) as process:
        crm.reply = (200, {"access_token": "T1", "refresh_token": "R1", "expires_in": 1}, {})
        crm.good = "T1"
        assert await process.ask() == "T1"
        begun = asyncio.get_running_loop().time()
        await when(lambda: asyncio.get_running_loop().time() - begun > 1.05)
        await asked(process)
        used = [parse_qs(grant["body"])["refresh_token"] for grant in crm.grants]
    assert used == [["R0"], ["R1"]]


@pytest.mark.parametrize(
    "auth",
    [
        OAUTH2.replace('"deskgate"', '"${{CLIENT}}"'),
        OAUTH2 + 'endpoint_params = {{ tenant = "${{CLIENT}}" }}\n',
        OAUTH2.replace("{url}/token", "{url}/token?of=${{CLIENT}}"),
        LOGIN.replace('"c1"', '"${{CLIENT}}"'),
    ],
    ids=["client", "tenant", "address", "login"],
)
async def test_client_that_changes_in_the_environment_gets_no_token_of_the_one_before(
    place: Place, auth: str
) -> None:
    """Its token would open the data of somebody else's account, with code 0."""
    async with vendor() as (crm, url):
        for number, client in enumerate(("ours", "theirs"), 1):
            async with fleet(place, declared(url, auth, CLIENT=client), 1) as (process,):
                await process.http.start()
                assert await process.ask() == f"T{number}"
        assert ["ours" in str(grant) for grant in crm.grants] == [True, False]


async def test_process_that_ends_leaves_the_token_that_it_has_asked_for_to_the_others(place: Place) -> None:
    """Else they wait for it for 15 s, and a refresh token that the server has changed is lost for good."""
    auth = OAUTH2 + 'grant_type = "refresh_token"\nrefresh_token = "R0"\n'
    async with vendor() as (crm, url), fleet(place, declared(url, auth), 2) as (one, other):
        crm.gate.clear()
        await one.http.start()
        await when(lambda: crm.grants)
        closing = asyncio.create_task(one.http.close())
        answer = asyncio.create_task(other.ask())
        crm.gate.set()
        assert await answer == "T1"
        assert len(crm.grants) == 1
        await closing


async def test_trial_and_check_leave_the_next_refresh_token_to_the_fleet(
    place: Place,
) -> None:
    """Thrown away, it would lock the fleet out: the one that it has is dead."""
    auth = OAUTH2 + 'grant_type = "refresh_token"\nrefresh_token = "R0"\n'
    async with vendor() as (crm, url):
        text = f'[redis]\nurl = "{place.redis_url}"\nprefix = "{place.prefix}"\n'
        catalog = declared(url, auth, before=text)
        crm.reply, crm.good = (200, {"access_token": "T1", "refresh_token": "R1"}, {}), "T1"
        assert (await try_lookup(catalog, "value", {})).code == Code.OK
        seen = [one.said for one in [found async for found in look(catalog, place.redis_url)]]
        assert any(said.startswith("the fleet has a token, for ") for said in seen)
        async with fleet(place, catalog, 1) as (process,):
            assert await process.ask() == "T1"
        assert len(crm.grants) == 1


async def test_trial_asks_for_no_token_that_it_cannot_share_with_the_fleet() -> None:
    """It says why, and the backend is not asked; another grant may be made by everybody."""
    auth = OAUTH2 + 'grant_type = "refresh_token"\nrefresh_token = "R0"\n'
    async with vendor() as (crm, url):
        for server in ("redis://127.0.0.1:1/0", "embedded"):
            catalog = declared(url, auth, before=f'[redis]\nurl = "{server}"\n')
            trial = await try_lookup(catalog, "value", {})
            assert trial.code == Code.QUEUE_UNAVAILABLE
            assert "the fleet keeps the refresh token in Redis" in trial.reason
            assert not crm.grants
            assert (await try_lookup(catalog, "value", {}, dry_run=True)).code == Code.OK
        catalog = declared(url, before='[redis]\nurl = "redis://127.0.0.1:1/0"\n')
        assert (await try_lookup(catalog, "value", {})).code == Code.OK


async def test_refresh_token_that_an_operator_renews_is_the_one_that_is_sent(place: Place) -> None:
    """Else the fleet goes on with the ones that the server has changed, which are dead by then."""
    auth = OAUTH2 + 'grant_type = "refresh_token"\nrefresh_token = "${{REFRESH}}"\n'
    async with vendor() as (crm, url):
        crm.reply = (200, {"access_token": "T1", "refresh_token": "R1", "expires_in": 60}, {})
        async with fleet(place, declared(url, auth, REFRESH="R0"), 1) as (process,):
            await asked(process)  # refused, so the next process asks for another token
        crm.reply = None
        async with fleet(place, declared(url, auth, REFRESH="anew"), 1) as (process,):
            assert await process.ask() == "T2"
        used = [parse_qs(grant["body"])["refresh_token"] for grant in crm.grants]
    assert used == [["R0"], ["anew"]]


async def test_jwt_bearer_grant_sends_an_assertion_that_the_public_key_verifies() -> None:
    """RFC 7523: issuer, subject, audience, and times that are near."""
    import jwt  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    auth = """
[backends.crm.auth]
type = "oauth2"
token_url = "{url}/token"
grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
key = '''PEM'''
key_id = "k1"
issuer = "client"
subject = "integration@example.com"
audience = "https://login.example.com"
claims = {{ scope = "api" }}
""".replace("PEM", pem)
    async with vendor() as (crm, url), alone(declared(url, auth)) as process:
        assert await process.ask() == "T1"
        form = parse_qs(crm.grants[0]["body"])
    assertion = form["assertion"][0]
    claims = jwt.decode(
        assertion, key.public_key(), algorithms=["RS256"], audience="https://login.example.com"
    )
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("client", "integration@example.com", "api")
    assert claims["exp"] - claims["iat"] == 180
    assert jwt.get_unverified_header(assertion)["kid"] == "k1"
    assert set(form) == {"grant_type", "assertion"}


async def test_each_process_asks_for_itself_without_redis() -> None:
    """Two tokens are better than none."""
    async with vendor() as (crm, url):
        catalog = declared(url)
        async with alone(catalog) as one, alone(catalog) as other:
            assert await one.ask() == "T1"
            assert isinstance(await asked(other), str)
            assert len(crm.grants) == 2


async def test_token_that_the_backend_repeats_is_kept_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no text of the configuration, and a page of results often links to the next one with it."""
    granted = "granted/0123456789"

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/token":
            return web.json_response({"access_token": granted, "expires_in": 3600})
        return web.json_response({"v": "x", "next": str(request.url), "for": granted})

    noted: list[Event] = []
    async with serving(handle) as url:
        for auth in (LOGIN, OAUTH2):
            catalog = declared(url, auth)
            async with alone(catalog) as process:
                monkeypatch.setattr(events, "instruments", [noted.append])
                ask = Ask("value", {}, 1, "s1", "t1", 5.0, traceparent=f"00-{1:032x}-{2:016x}-01")
                await process.http.ask(catalog.lookups["value"], ask)
            attempt = Attempt()
            attempt.replied = next(one for one in reversed(noted) if one.name == "attempt.replied")
            attempt.ended = {"attempt": 1, "outcome": "OK", "took_ms": 1.0, "backend": "crm"}
            finished = Event("lookup.finished", "info", FINISHED, WITHOUT_VALUES)
            entry = make_entry(Noted(finished, 0.0, (attempt,)), mask_of(catalog.settings), keeps_values=True)
            assert isinstance(entry, LookupEntry)
            body = entry.attempts[0].body or ""
            shown = as_dict(await try_lookup(catalog, "value", {}))
            for text in (body, json.dumps(shown, ensure_ascii=False)):
                assert HIDDEN in text
                assert "0123456789" not in text


@pytest.mark.parametrize("status", [200, 400])
async def test_secret_that_the_token_endpoint_repeats_is_told_nowhere(status: int) -> None:
    """Its error goes into the log, the history and to all processes."""
    async with vendor() as (crm, url):
        grant = grant_of(declared(url, REFRESHING))
        crm.reply = (status, {"error": "no client long-secret nor token long-refresh-token"}, {})
        with pytest.raises(GrantFailed) as caught:
            await grant.ask("long-refresh-token")
    assert str(caught.value) == "token: no client ••• nor token •••"
