"""``deskgate demo``: the whole of it on this machine, sample callbacks, and what came back and why."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gateway.tools.call import Call, CallFailed, send
from gateway.tools.children import ChildEnded, beside, event, run_until_signal
from gateway.tools.demo import story
from gateway.tools.demo.stage import CALLBACKS, HOST, TOKEN, Stage, sample, stage
from gateway.tools.demo.story import STEPS, Step, Told
from gateway.tools.presentation import open_console
from gateway.tools.processes import CannotStart

APP = 1400000001
SESSION, USER = "demo", "user517"

SAMPLE_QUERY = (
    f"SdkAppid={APP}&CallbackCommand=Chatbot.InterfaceInvocation&contenttype=json"
    "&ClientIP=127.0.0.1&OptPlatform=Web"
)
SAMPLE = (
    '{"CallbackCommand": "Chatbot.InterfaceInvocation", "Body": {"SystemClientUserID": "user517", '
    '"SystemSessionID": "207cac25-f49e-4ada-9c9f-301cea31dcf2", "staticKey": "staticValue", "testKey3": ""}, '
    '"EventTime": 1731488371784}'
)
"""The callback that the platform documents (tencentcloud.com 1229/68990)."""

_AGED = 0.1
_PATIENCE = 10.0  # where Desk has 2 s: a machine that is busy for a moment does not end the story
_INTERRUPTED = 128


def run(*, once: bool) -> int:
    """Run the demo until Ctrl-C, or with ``once`` to the end of its story, and return its exit code.

    It is 1 when a part ended by itself, or when a reply was not what the story says.
    """
    console = open_console()
    demo = Demo(console, once=once)
    try:
        stopped_by = run_until_signal(demo.main())
    except (CannotStart, CallFailed, ChildEnded) as error:
        console.print(Text(f"The demo failed: {error}.", "bold red"), soft_wrap=True)
        for line in getattr(error, "last_lines", ()):
            console.print(Text(f"  {line}"), soft_wrap=True)
        return 1
    if stopped_by is not None:
        console.print()  # behind the ^C that the terminal shows
    console.print("Everything has been stopped.")
    if stopped_by is not None and len(demo.told) < len(STEPS):
        return _INTERRUPTED + stopped_by
    return 0 if all(told.as_expected for told in demo.told) else 1


def sample_curl(address: str = f"{HOST}:{CALLBACKS}") -> str:
    """Return the command that sends the documented callback to a gateway."""
    return f"curl -sS 'http://{address}/?{SAMPLE_QUERY}' -d '{SAMPLE}'"


def _order_call(address: str) -> str:
    """Return the command that asks about an order that makes the CRM hang."""
    deskgate = sys.argv[0] if Path(sys.argv[0]).name == "deskgate" else "deskgate"
    variables = "--set staticKey=order --set orderId=hang-1"
    return f"{deskgate} call http://{address}/ --app {APP} --session s1 --user {USER} {variables}"


async def _asked(step: Step, on: Stage) -> Told:
    """Send a step's callback, and return the reply with the gateway's log line of it."""
    variables = {"staticKey": "order", "orderId": step.order}
    line = on.gateway.expect(event("callback.answered", session=SESSION))
    heard = await send(Call(f"http://{on.callbacks}/", APP, TOKEN, SESSION, USER, variables), _PATIENCE)
    try:
        async with asyncio.timeout(_PATIENCE):
            return Told(step, heard, await line)
    except TimeoutError:
        msg = f"the gateway did not log how it answered: {heard.code} {heard.info}"
        raise CallFailed(msg) from None


class Demo:
    """One run of the demo; ``told`` grows by a step at a time."""

    def __init__(self, console: Console, *, once: bool) -> None:
        """Take where to show it, and whether to end after the story."""
        self.told: list[Told] = []
        self._console, self._once = console, once

    async def main(self) -> None:
        """Start everything, tell the story, and stay up; raise CannotStart, CallFailed or ChildEnded."""
        self._console.print(Text("deskgate demo: everything real, everything on this machine", "bold"))
        async with stage(self._console, any_port=self._once) as on:
            await beside(self._tell(on), *on.ends())

    async def _tell(self, on: Stage) -> None:
        self._console.print()
        for number, step in enumerate(STEPS, 1):
            await self._take(number, step, on)
        story.show_summary(self._console, self.told)
        if not self._once:
            await self._stay_up(on)

    async def _take(self, number: int, step: Step, on: Stage) -> None:
        """Take one step: the CRM plays its part, Desk calls, and the reply is shown."""
        if step.later:
            with self._console.status("waiting until the order is fresh no longer"):
                await asyncio.sleep(on.catalog.lookups["order"].fresh + _AGED)
        await on.play(step.script)
        story.show_case(self._console, number, step, on.catalog)
        with self._console.status("Desk is waiting"):
            self.told.append(await _asked(step, on))
        story.show_told(self._console, self.told[-1], on.catalog)

    async def _stay_up(self, on: Stage) -> None:
        """Say what can be tried, and show what becomes of each callback, until cancelled."""
        await on.play(sample("crm.toml").read_text(encoding="utf-8"))
        story.show_invitation(self._console, sample_curl(on.callbacks), _order_call(on.callbacks))
        on.gateway.on_line = lambda line: story.show_callback(self._console, line)
        await asyncio.Event().wait()
