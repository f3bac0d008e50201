"""The console in a real browser: every view and action, while the CRM is flaky and callbacks come."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from gateway.crm.server import Crm
from gateway.process.background import end
from gateway.tools.processes import Valkey
from tests.asking import serving
from tests.browser import NARROW, WIDE, chromium, faults_of, needs_browser, overflows, page_of
from tests.console import ACT, READ, TOKENS, Opened, opened
from tests.desk import ROOT, Desk, Place, when
from workers.main import workers

pytestmark = [pytest.mark.timeout(240), needs_browser]

FLAKY = """
seed = 7
[[rules]]
latency = { lognormal = { median = "20ms", p95 = "80ms" } }
shares = { ok = 0.6, error = 0.3, garbage = 0.1 }
"""
FAILING = "seed = 7\n[[rules]]\nshares = { error = 1.0 }\n"
VIEWS = ("", "callbacks", "session/s1", "try/order", "configuration")
HOSTILE = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "\u202egnp.evil\u202c\u200b",
    "'\"><svg/onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "x" * 10_000,
)


@dataclass(slots=True)
class Scene:
    """A gateway with its console, a worker, callbacks that come, and a browser."""

    here: Opened
    browser: Browser
    desk: Desk
    place: Place

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"{self.here.visitor.url}/console/"

    @asynccontextmanager
    async def page(self, token: str | None = ACT, view: str = "", **options: object) -> AsyncIterator[Page]:
        """Open the page, logged in with a token."""
        async with page_of(self.browser, **options) as page:
            await page.goto(f"{self.url}#/{view}")
            if token is not None:
                await log_in(page, token)
                await page.wait_for_selector("main[data-drawn]")
            yield page


@asynccontextmanager
async def scene(
    place: Place, tmp_path: Path, changes: Mapping[str, object] | None = None, /, **knobs: str
) -> AsyncIterator[Scene]:
    """Set the scene, without callbacks."""
    with_values = {"history.level": "values", **(changes or {})}
    async with opened(place, tmp_path / "deskgate.toml", with_values, **knobs) as here:
        catalog = here.gateway.service.catalog
        async with workers(catalog, catalog.lanes, grace=0), chromium() as browser:
            yield Scene(here, browser, Desk(here.visitor.http).at(here.gateway.callbacks), place)


@pytest_asyncio.fixture
async def stormy(place: Place, tmp_path: Path, crm: Crm) -> AsyncIterator[Scene]:
    """The scene, with a flaky CRM and fifty callbacks a second."""
    crm.put(FLAKY)
    knobs = {"attempt_timeout": "400ms", "budget": "1s", "fresh": "1s"}
    async with scene(place, tmp_path, **knobs) as stage:
        storm = asyncio.create_task(blow(stage.desk))
        try:
            yield stage
        finally:
            await end(storm)


async def blow(desk: Desk) -> None:
    """Send callbacks until cancelled."""
    nodes, number = ("order", "profile", "both", "nowhere"), 0
    async with asyncio.TaskGroup() as group:
        while True:
            number += 1
            call = desk.call(f"s{number % 100}", node=nodes[number % 4], orderId=str(number % 50 + 1))
            group.create_task(call)
            await asyncio.sleep(0.02)


async def log_in(page: Page, token: str) -> None:
    """Log in, with the keyboard alone."""
    await expect(page.get_by_label("A token of gateway.admin_token")).to_be_focused()
    await page.keyboard.type(token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("navigation", name="Views")).to_be_visible()


async def test_one_logs_in_and_out(stormy: Scene) -> None:
    """A wrong token is told; a login outlives a reload of the page; behind a logout nothing is shown."""
    async with stormy.page(None) as page:
        await page.get_by_label("A token of gateway.admin_token").fill("a wrong token, long enough")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert").filter(has_text="this is no token")).to_be_visible()
        await page.keyboard.press("Control+A")
        await log_in(page, READ)
        await expect(page.get_by_text("may look")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("row", name="crm")).to_be_visible()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await expect(page.get_by_role("row", name="crm")).to_have_count(0)


async def test_overview_moves_with_the_deployment(stormy: Scene) -> None:
    """Rates, codes, times; the backend that fails comes with its breaker."""
    async with stormy.page(READ) as page:
        row = page.get_by_role("row", name="crm")
        await expect(page.locator(".tile", has_text="gateways").locator("dd").first).to_have_text("1")
        await expect(page.locator(".tile", has_text="callbacks/s").locator("dd").first).not_to_have_text(
            "0.00"
        )
        await expect(row.locator("svg path.bars").first).to_have_attribute("d", re.compile("M.*"))
        await expect(
            row.get_by_role("img", name=re.compile("^Calls in five minutes: .* a second"))
        ).to_be_visible()
        await row.get_by_role("button").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_text("BACKEND_UNAVAILABLE")).to_be_visible()
        await expect(dialog.get_by_text("Your token is for looking alone.")).to_be_visible()
        await expect(dialog.get_by_role("button")).to_have_text(["Close"])
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(row.get_by_role("button")).to_be_focused()


async def test_backend_is_held_and_its_breaker_moved(stormy: Scene) -> None:
    """Each action says what it did, and is seen in the row."""
    shut = stormy.here.gateway.service.shut
    async with stormy.page() as page:
        row = page.get_by_role("row", name="crm")

        async def act(name: str) -> None:
            await row.get_by_role("button").click()
            await page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()
            await expect(page.get_by_role("dialog")).to_have_count(0)

        await row.get_by_role("button").click()
        await page.get_by_label("Serve last known answers for").select_option("1 hour")
        await page.get_by_role("button", name="Hold").click()
        await expect(page.get_by_role("status").filter(has_text="crm is held for")).to_be_visible()
        await expect(row).to_contain_text("held 60 min")
        assert shut.gates()["crm"].held_s > 3500
        await act("Release")
        await expect(row).not_to_contain_text("held")
        assert shut.gates()["crm"].held_s == 0.0
        await act("Open the breaker")
        await expect(page.get_by_role("status").filter(has_text="is open; a probe follows")).to_be_visible()


async def test_callbacks_come_as_they_are_answered_and_one_is_explained(stormy: Scene) -> None:
    """With filters and a pause; a click tells why."""
    async with stormy.page(READ, "callbacks") as page:
        rows = page.locator("table.callbacks tbody tr")
        await expect(rows.nth(20)).to_be_visible()
        first = await rows.first.text_content()
        await expect(rows.first).not_to_have_text(first or "")
        await page.get_by_label("code", exact=True).select_option("NO_ROUTE")
        await expect(rows.filter(has_text="OK")).to_have_count(0)
        await expect(rows.filter(has_text="NO_ROUTE").nth(3)).to_be_visible()
        await page.get_by_label("code", exact=True).select_option("any")
        await page.get_by_label("lookup", exact=True).select_option("profile")
        await expect(rows.filter(has_text="order")).to_have_count(0)
        await page.get_by_label("session").fill("s1")
        await expect(rows.filter(has_text="s2")).to_have_count(0)
        await expect(rows.nth(1)).to_be_visible()
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("button", name="Go on (")).to_be_visible()
        still, paused = await rows.first.text_content(), page.get_by_role("button", name="Go on (")
        await expect(paused).not_to_have_text(await paused.text_content() or "")  # more has come
        assert await rows.first.text_content() == still
        session = await rows.first.get_by_role("link").text_content()
        await rows.first.get_by_role("link").click()
        chosen = page.locator("article.chosen")
        await expect(chosen).to_contain_text("route")
        await expect(page.get_by_label("SystemSessionID")).to_have_value(session or "")
        await expect(page.get_by_role("link", name="Session")).to_have_attribute("aria-current", "page")


async def test_session_tells_why_and_is_forgotten(place: Place, tmp_path: Path, crm: Crm) -> None:
    """The failure, its attempts, the rung that was taken; and after a question to be sure, nothing."""
    async with scene(place, tmp_path, fresh="0s") as stage:
        await stage.desk.call("s1", node="order", orderId="7")
        crm.put(FAILING)
        assert (await stage.desk.call("s1", node="order", orderId="7")).code
        async with stage.page(view="session/s1") as page:
            newest = page.get_by_role("article").first
            await expect(page.get_by_role("article")).to_have_count(2)
            await expect(newest).to_contain_text("the session's record: 0 s old, given")
            await expect(newest).to_contain_text("order_id")
            await expect(newest.locator(".attempts li")).to_have_count(3)
            await expect(newest.get_by_role("img")).to_have_attribute(
                "aria-label", re.compile("queue .*attempt")
            )
            await newest.get_by_text("what the backend said").first.click()
            await expect(newest.locator("pre").first).to_contain_text("scripted")
            await page.set_viewport_size({"width": 1280, "height": 620})
            await picture(page, "session")
            await page.get_by_role("button", name="Forget this session").click()
            await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            await expect(page.get_by_role("article")).to_have_count(2)
            await page.get_by_role("button", name="Forget this session").click()
            await page.get_by_role("dialog").get_by_role("button", name="Forget it").click()
            await expect(page.get_by_text("Nothing is kept of this session")).to_be_visible()
            await expect(page.get_by_role("status").filter(has_text="forgotten: 1 record")).to_be_visible()


async def test_lookup_is_tried(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crm: Crm
) -> None:
    """By asking, without sending, and on a reply that one gives: a wrong path is explained."""
    for name, value in place.environ.items():  # its process reads the file by itself
        monkeypatch.setenv(name, value)
    changes = {"lookups.order.variables": {"order_id": "id", "order_total": "total.amont"}}
    async with scene(place, tmp_path, changes) as stage:
        async with stage.page(view="try/order") as page:
            await page.get_by_label("orderId").fill("7")
            await page.get_by_role("button", name="Try", exact=True).click()
            result = page.locator(".story")
            await expect(result).to_contain_text("did you mean `amount`?")
            await expect(result).to_contain_text("/orders/7")
            await expect(result).to_contain_text("1 of 2 variables go out empty")
            assert sum(crm.stats.calls.values()) == 1
            await page.get_by_label("show the question, and send nothing").check()
            await page.get_by_role("button", name="Try", exact=True).click()
            await expect(result).to_contain_text("nothing was sent")
            await page.get_by_label("take this reply, and ask nobody").check()
            await page.get_by_label("the backend's reply").fill('{"id": "8", "total": {"amont": 5}}')
            await page.get_by_role("button", name="Try", exact=True).click()
            await expect(result).to_contain_text("every variable has a value")
            await page.get_by_label("the backend's reply").fill("<html>")
            await page.get_by_label("status").fill("503")
            await page.get_by_role("button", name="Try", exact=True).click()
            await expect(result).to_contain_text("BACKEND_UNAVAILABLE")
            assert sum(crm.stats.calls.values()) == 1
        async with stage.page(READ, "try/order") as page:
            await expect(page.get_by_label("ask the backend")).to_be_disabled()
            await page.get_by_label("orderId").fill("7")
            await page.get_by_role("button", name="Try", exact=True).click()
            await expect(page.locator(".story")).to_contain_text("nothing was sent")


async def test_configuration_is_shown_and_reloaded(stormy: Scene) -> None:
    """Without its secrets; and a newer content that is not used, with the reason."""
    async with stormy.page(view="configuration") as page:
        await expect(page.get_by_text('budget = "1s"')).to_be_visible()
        text = await page.locator("main").text_content()
        assert text is not None
        assert ACT not in text
        await page.get_by_label("find a table").fill("backends")
        await expect(page.get_by_text('budget = "1s"')).to_be_hidden()
        await expect(page.get_by_text("attempts = 3")).to_be_visible()
        stormy.here.file.path.write_text("[gateway]\nbugdet = 1\n", encoding="utf-8")
        await stormy.here.file.look(asked=True)
        await page.get_by_role("button", name="Reload all processes").click()
        await expect(page.get_by_role("status").filter(has_text="every process reads")).to_be_visible()
        await expect(page.get_by_text("did you mean 'budget'?")).to_be_visible()
        more = {"lookups.later": {"backend": "crm", "request": {"path": "/"}, "variables": {"v": "v"}}}
        tables = {"gateway.admin_token": TOKENS, **more}
        stormy.here.file.path.write_text(stormy.place.config(tables), encoding="utf-8")
        await stormy.here.file.look(asked=True)
        await page.get_by_role("link", name="Try").click()
        await expect(page.get_by_label("lookup", exact=True)).to_contain_text("later")


async def test_what_strangers_send_is_text_and_nothing_more(place: Place, tmp_path: Path) -> None:
    """Sessions, values, replies and names: no script runs, no direction turns, nothing tears the page."""
    names = {"backend": "<b>crm</b>\u202e", "lookup": "<i onclick=x>order</i>"}

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"v": request.query["said"]})

    changes: dict[str, object] = {
        "lookups": {
            names["lookup"]: {
                "backend": names["backend"],
                "request": {"path": "/echo", "query": {"said": "{said}"}},
                "variables": {HOSTILE[0]: "v"},
            }
        },
        "routes": [{"lookups": [names["lookup"]]}],
    }
    async with serving(echo) as url, AsyncExitStack() as stack:
        changes["backends"] = {names["backend"]: {"url": url}}
        stage = await stack.enter_async_context(scene(place, tmp_path, changes, budget="8s"))
        for number, text in enumerate(HOSTILE):
            heard = await stage.desk.call(text, said=HOSTILE[-number][:1000], user=text[:100])
            assert heard.variables == {HOSTILE[0]: HOSTILE[-number][:1000]}
        for view in VIEWS:
            async with stage.page(view=view) as page:
                assert await page.evaluate("window.pwned") is None
                assert not await overflows(page), view
                assert "\u202e" not in (await page.locator("body").text_content() or "")
        async with stage.page(view="callbacks") as page:
            await expect(page.locator("table.callbacks tbody tr")).to_have_count(len(HOSTILE))
            links = page.locator("table.callbacks tbody a")
            addresses = [await links.nth(n).get_attribute("href") for n in range(len(HOSTILE))]
            for address in addresses:
                await page.goto(f"{stage.url}{address}")
                await expect(page.get_by_role("article").first).to_be_visible()
                await expect(page.get_by_role("article").first).to_contain_text(
                    "<script>window.pwned=1</script>"
                )
                assert await page.evaluate("window.pwned") is None
                assert not await overflows(page)
            assert await page.locator("main script, main img, main iframe").count() == 0


EVIL = """<!doctype html><title>evil</title><iframe src="{url}"></iframe>
<form id="form" method="post" enctype="text/plain" target="sink" action="{url}api/actions/hold">
<input name='{{"backend": "crm", "seconds": 600, "x": "' value='"}}'></form><iframe name="sink"></iframe>
<script>
const send = (headers, mode) => fetch("{url}api/actions/hold", {{
  method: "POST", mode, headers, credentials: "include", body: '{{"backend": "crm", "seconds": 600}}'
}}).catch(() => null);
const read = async () => {{
  try {{ return await (await fetch("{url}api/me", {{ credentials: "include" }})).text(); }}
  catch {{ return ""; }}
}};
window.done = (async () => {{
  document.getElementById("form").submit();
  await send({{}}, "no-cors");
  await send({{ "Content-Type": "application/json" }}, "cors");
  return await read();
}})();
</script>
"""


async def test_page_of_another_site_neither_frames_nor_reads_nor_acts(stormy: Scene) -> None:
    """Though it is on the same machine, where browsers send the cookie along: a port is no other site."""
    context = await stormy.browser.new_context()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=EVIL.format(url=stormy.url), content_type="text/html")

    async with serving(answer) as evil:
        ours = await context.new_page()
        await ours.goto(stormy.url)
        await log_in(ours, ACT)
        theirs = await context.new_page()
        await theirs.goto(evil)
        assert not await theirs.evaluate("window.done")  # it reads nothing
        framed = theirs.frames[1]
        assert "deskgate" not in await framed.content()
        await theirs.wait_for_load_state("networkidle")
        assert stormy.here.gateway.service.shut.gates()["crm"].held_s == 0.0
        assert (
            await ours.evaluate("fetch('api/me').then((answer) => answer.status)") == 200
        )  # the cookie holds
    await context.close()


async def test_every_view_is_for_everybody(stormy: Scene) -> None:
    """Screen readers, keyboards, light and dark, narrow and wide."""
    for colors in ("light", "dark"):
        for window in (WIDE, NARROW):
            async with page_of(stormy.browser, viewport=window, color_scheme=colors) as page:
                await page.goto(stormy.url)
                await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
                assert await faults_of(page) == []
                await log_in(page, ACT)
                for view in VIEWS:
                    await page.goto(f"{stormy.url}#/{view}")
                    await page.wait_for_selector("main[data-drawn]")
                    await expect(page.get_by_role("heading", level=2)).to_be_attached()
                    assert await faults_of(page) == [], (view, colors, window)
                    assert not await overflows(page), (view, window)
                await page.goto(f"{stormy.url}#/")
                await page.get_by_role("row", name="crm").get_by_role("button").click()
                assert await faults_of(page) == []


async def test_keyboard_alone_leads_everywhere(stormy: Scene) -> None:
    """From the first press of Tab to an action and back."""
    async with stormy.page() as page:
        await page.reload()
        await page.wait_for_selector("main[data-drawn]")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("find")).to_be_focused()
        await page.keyboard.type("cr")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("row", name="crm").get_by_role("button")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("row", name="crm").get_by_role("button")).to_be_focused()


async def test_page_says_that_redis_is_lost_and_goes_on_when_it_is_back(
    valkey: Valkey, place: Place, tmp_path: Path
) -> None:
    """Nobody should have to press reload at night."""
    own = Place(valkey.url, place.prefix, place.crm_url)
    async with opened(own, tmp_path / "deskgate.toml") as here, chromium() as browser:
        stage = Scene(here, browser, Desk(here.visitor.http), place)
        async with stage.page() as page:
            redis = page.locator(".tile", has_text="Redis").locator("dd")
            await expect(redis).to_contain_text("ms")
            valkey.stop()
            await when(lambda: here.gateway.service.link.lost)
            await expect(redis).to_have_text("lost")
            await page.get_by_role("row", name="crm").get_by_role("button").click()
            valkey.start()
            await page.keyboard.press("Escape")
            await expect(redis).to_contain_text("ms")


async def test_gateway_that_ends_is_told_and_found_again(place: Place, tmp_path: Path) -> None:
    """As in a rollout: the page goes on with the next one, and the login holds."""
    path = tmp_path / "deskgate.toml"
    async with chromium() as browser, page_of(browser) as page:
        async with opened(place, path) as here:
            port = here.gateway.admin[1]
            await page.goto(f"{here.visitor.url}/console/")
            await log_in(page, ACT)
            await expect(page.get_by_role("row", name="crm")).to_be_visible()
        await expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_visible()
        async with opened(place, path, {"gateway.admin": f"127.0.0.1:{port}"}):
            await expect(page.get_by_role("alert").filter(has_text="does not answer")).to_be_hidden(
                timeout=20_000
            )
            await expect(page.get_by_role("row", name="crm")).to_be_visible()


async def test_two_hundred_backends_and_lookups_are_shown(place: Place, tmp_path: Path) -> None:
    """The worst first; one finds a name."""
    backends = {f"crm{n}": {"url": "${CRM_URL}", "concurrency": 1} for n in range(200)}
    lookups = {
        f"order{n}": {"backend": f"crm{n}", "request": {"path": "/"}, "variables": {f"v{n}": "v"}}
        for n in range(200)
    }
    changes: dict[str, object] = {
        "backends": backends,
        "lookups": lookups,
        "routes": [{"lookups": ["order7"]}],
    }
    async with opened(place, tmp_path / "deskgate.toml", changes) as here, chromium() as browser:
        await here.actor.post("actions/hold", {"backend": "crm123", "seconds": 600})
        stage = Scene(here, browser, Desk(here.visitor.http), place)
        async with stage.page() as page:
            await expect(page.get_by_role("row")).to_have_count(201)
            assert not await overflows(page)
            await page.get_by_label("find").fill("crm12")
            await expect(page.get_by_role("row")).to_have_count(12)
            await expect(page.get_by_text("11 of 200")).to_be_visible()
            await expect(page.get_by_role("row", name="crm123")).to_contain_text("held")


async def test_overview_is_pictured(place: Place, tmp_path: Path, crm: Crm) -> None:
    """For the docs, where nobody keeps pictures up to date by hand."""
    crm.put(
        FLAKY.replace("[[rules]]", '[[rules]]\npath = "/orders/*"', 1)
        + '[[rules]]\nlatency = { lognormal = { median = "8ms", p95 = "30ms" } }\n'
    )
    names = ("erp", "loyalty", "shipping")
    changes: dict[str, object] = {
        "backends": {name: {"url": "${CRM_URL}"} for name in ("crm", *names)},
        **{
            f"lookups.{name}": {
                "backend": name,
                "request": {"path": f"/customers/{name}-{{SystemSessionID}}"},
                "variables": {f"{name}_tier": "tier"},
            }
            for name in names
        },
        "routes": [
            {"when": {"node": "order"}, "lookups": ["order", "erp"]},
            {"when": {"node": "both"}, "lookups": ["loyalty"]},
            {"when": {"node": "profile"}, "lookups": ["customer", "shipping"]},
        ],
    }
    knobs = {"attempt_timeout": "400ms", "budget": "1s", "fresh": "1s"}
    async with scene(place, tmp_path, changes, **knobs) as stage:
        storm = asyncio.create_task(blow(stage.desk))
        try:
            async with stage.page(viewport={"width": 1280, "height": 440}) as page:
                if PICTURES:
                    await asyncio.sleep(75)
                await stage.here.actor.post("actions/hold", {"backend": "loyalty", "seconds": 1800})
                await expect(page.get_by_role("row", name="loyalty")).to_contain_text("held")
                assert len(await picture(page, "overview")) > 10_000
        finally:
            await end(storm)


PICTURES = os.environ.get("PICTURES", "")
"""``PICTURES=1`` writes the docs' pictures anew: ``make pictures``."""


async def picture(page: Page, name: str) -> bytes:
    """Take a picture of the page as it is; write it to the docs if that is wished."""
    path = ROOT / "docs" / f"console-{name}.png" if PICTURES else None
    return await page.screenshot(path=path, animations="disabled")
