"""Desk, played by the tests: callbacks sent as the platform sends them, and the parts to send them to."""

import asyncio
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from gateway.declared.catalog import Catalog, compile_catalog, read
from tests.variants import varied

ROOT = Path(__file__).parents[1]
APP = 1400000001
DESK_PATIENCE = 2.0
"""Seconds after which Desk gives up."""

CONFIG = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
budget = "{budget}"
drain = "{drain}"

[redis]
url = "${{REDIS_URL}}"
prefix = "${{PREFIX}}"
timeout = "{redis_timeout}"

[apps.1400000001]
signature = "off"

[apps.1400000002]
signature = "off"

[apps.1400000003]
token = ["newer", "xxxxyyyy"]

[[routes]]
when = {{ node = "profile" }}
lookups = ["profile"]

[[routes]]
when = {{ node = "order" }}
lookups = ["order"]

[[routes]]
when = {{ node = "both" }}
lookups = ["customer", "order"]

[backends.crm]
url = "${{CRM_URL}}"
attempt_timeout = "{attempt_timeout}"
attempts = 3

[lookups.profile]
backend = "crm"
request = {{ path = "/profile/{{SystemClientUserID}}" }}
variables = {{ testKey1 = "testKey1", testKey3 = "testKey3" }}
fresh = "{fresh}"

[lookups.customer]
backend = "crm"
request = {{ path = "/customers/{{SystemClientUserID}}" }}
variables = {{ customer_id = "id", customer_tier = "tier" }}
required = ["customer_id"]
fresh = "{fresh}"
fallback = {{ customer_tier = "standard" }}

[lookups.order]
backend = "crm"
request = {{ path = "/orders/{{orderId}}" }}
variables = {{ order_id = "id", order_total = "total.amount" }}
required = ["order_id"]
not_found = {{ order_id = "none" }}
fresh = "{fresh}"
fallback = {{ order_id = "unknown" }}
"""


def _versions() -> dict[str, str]:
    environ = {"REDIS_URL": "redis://x", "PREFIX": "x", "CRM_URL": "http://x"}
    text = CONFIG.format(budget="1s", drain="0s", redis_timeout="1s", attempt_timeout="1s", fresh="1s")
    return {name: lookup.version for name, lookup in compile_catalog(*read(text, environ)).lookups.items()}


VERSION = _versions()["order"]
"""The version of the lookup ``order`` in the test configuration, for jobs that a test makes itself."""


async def when(condition: Callable[[], object]) -> None:
    """Return as soon as ``condition`` holds; the test's time limit ends the wait."""
    while not condition():  # noqa: ASYNC110 - what happens in another process sets no event here
        await asyncio.sleep(0.005)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's parts live: its Redis, its keys, its CRM. ``knobs`` fill the test configuration."""

    redis_url: str
    prefix: str
    crm_url: str

    def config(self, changes: Mapping[str, object] | None = None, /, **knobs: str) -> str:
        """Return the test configuration as TOML, filled by ``knobs`` or by defaults, then changed.

        ``changes`` names settings by their places, as :func:`tests.variants.varied` takes them.
        The defaults leave a machine that others use time to spare: who tests what happens when time is out
        says how much there is.
        """
        defaults = {
            "budget": "4s",
            "drain": "0s",
            "redis_timeout": "1s",
            "attempt_timeout": "3s",
            "fresh": "60s",
        }
        assert set(knobs) <= set(defaults), "a knob that is not there would turn nothing"
        text = CONFIG.format(**(defaults | knobs))
        return varied(text, changes) if changes else text

    @property
    def environ(self) -> dict[str, str]:
        """The environment that the test configuration reads."""
        return {"REDIS_URL": self.redis_url, "PREFIX": self.prefix, "CRM_URL": self.crm_url}

    def catalog(self, changes: Mapping[str, object] | None = None, /, **knobs: str) -> Catalog:
        """Return the test configuration compiled."""
        return compile_catalog(*read(self.config(changes, **knobs), self.environ))


@dataclass(frozen=True, slots=True)
class Heard:
    """The reply as Desk gets it: HTTP status, the envelope, and the seconds that it took."""

    status: int
    envelope: dict[str, Any]
    took: float

    @property
    def code(self) -> int:
        """The ErrorCode."""
        return int(self.envelope["ErrorCode"])

    @property
    def variables(self) -> dict[str, str]:
        """The variables for the session."""
        return dict(self.envelope.get("Body", {}))


@dataclass(slots=True)
class Desk:
    """Sends callbacks to a gateway over one keep-alive session."""

    http: aiohttp.ClientSession
    url: str = ""
    query: dict[str, str] = field(
        default_factory=lambda: {
            "SdkAppid": str(APP),
            "CallbackCommand": "Chatbot.InterfaceInvocation",
            "contenttype": "json",
            "ClientIP": "127.0.0.1",
            "OptPlatform": "Web",
        }
    )

    def at(self, address: tuple[str, int]) -> "Desk":
        """Return a Desk that calls the gateway at ``address``."""
        return Desk(self.http, f"http://{address[0]}:{address[1]}", self.query)

    async def call(self, session: str = "s1", user: str = "user517", **variables: object) -> Heard:
        """Send one callback of a session."""
        body = {"SystemSessionID": session, "SystemClientUserID": user, **variables}
        envelope = {
            "CallbackCommand": "Chatbot.InterfaceInvocation",
            "Body": body,
            "EventTime": 1731488371784,
        }
        return await self.send(json.dumps(envelope).encode())

    async def send(
        self, body: bytes, query: Mapping[str, str] | str | None = None, path: str = "/", method: str = "POST"
    ) -> Heard:
        """Send any bytes with any query. The reply must be the envelope."""
        text = query if isinstance(query, str) else urlencode(self.query if query is None else query)
        begun = time.monotonic()
        async with self.http.request(method, f"{self.url}{path}?{text}", data=io.BytesIO(body)) as response:
            envelope = json.loads(await response.read())
            assert set(envelope) >= {"ActionStatus", "ErrorInfo", "ErrorCode"}
            assert (envelope["ActionStatus"] == "OK") == (envelope["ErrorCode"] == 0)
            assert response.content_type == "application/json"
            return Heard(response.status, envelope, time.monotonic() - begun)
