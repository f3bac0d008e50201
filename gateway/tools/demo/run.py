"""``deskgate demo``: all of deskgate on this machine, sample callbacks, and their replies explained."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from gateway.tools.call import CallFailed, OutgoingCallback, send
from gateway.tools.children import ChildEnded, is_event, run_until_signal, run_watched
from gateway.tools.demo import story
from gateway.tools.demo.stage import CALLBACKS, HOST, TOKEN, Stage, sample, stage
from gateway.tools.demo.story import STEPS, StepResult, StoryStep
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

_PAST_FRESH = 0.1
_PATIENCE = 10.0  # Desk has 2 s. A machine that is busy for a moment must not end the story.
_INTERRUPTED = 128


def run(*, once: bool) -> int:
    """Run the demo until Ctrl-C, or with ``once`` to the end of its story, and return its exit code.

    It is 1 if a part ended by itself, or if a reply was not the story's.
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
    if stopped_by is not None and len(demo.results) < len(STEPS):
        return _INTERRUPTED + stopped_by
    return 0 if all(result.as_expected for result in demo.results) else 1


def sample_curl(address: str = f"{HOST}:{CALLBACKS}") -> str:
    """Return the command that sends the documented callback to a gateway."""
    return f"curl -sS 'http://{address}/?{SAMPLE_QUERY}' -d '{SAMPLE}'"


def _order_call(address: str) -> str:
    """Return the command that asks about an order that makes the CRM hang."""
    deskgate = sys.argv[0] if Path(sys.argv[0]).name == "deskgate" else "deskgate"
    variables = "--set staticKey=order --set orderId=hang-1"
    return f"{deskgate} call http://{address}/ --app {APP} --session s1 --user {USER} {variables}"


async def _send(step: StoryStep, on: Stage) -> StepResult:
    """Send a step's callback, and return the reply with the gateway's log line of it."""
    variables = {"staticKey": "order", "orderId": step.order}
    line = on.gateway.expect(is_event("callback.answered", session=SESSION))
    callback = OutgoingCallback(f"http://{on.callbacks}/", APP, TOKEN, SESSION, USER, variables)
    reply = await send(callback, _PATIENCE)
    try:
        async with asyncio.timeout(_PATIENCE):
            return StepResult(step, reply, await line)
    except TimeoutError:
        msg = f"the gateway did not log how it answered: {reply.code} {reply.info}"
        raise CallFailed(msg) from None


class Demo:
    """One run of the demo. ``results`` grows with each step."""

    def __init__(self, console: Console, *, once: bool) -> None:
        """Take the console to show it on, and whether to end after the story."""
        self.results: list[StepResult] = []
        self._console, self._once = console, once

    async def main(self) -> None:
        """Start everything, play the story, and stay up; raise CannotStart, CallFailed or ChildEnded."""
        self._console.print(Text("deskgate demo: everything real, everything on this machine", "bold"))
        async with stage(self._console, any_port=self._once) as on:
            await run_watched(self._play_story(on), *on.ends())

    async def _play_story(self, on: Stage) -> None:
        self._console.print()
        for number, step in enumerate(STEPS, 1):
            await self._play_step(number, step, on)
        story.show_summary(self._console, self.results)
        if not self._once:
            await self._stay_up(on)

    async def _play_step(self, number: int, step: StoryStep, on: Stage) -> None:
        """Play one step: the CRM gets its script, Desk calls, and the reply is shown."""
        if step.aged:
            with self._console.status("waiting until the order is fresh no longer"):
                await asyncio.sleep(on.catalog.lookups["order"].fresh + _PAST_FRESH)
        await on.play(step.script)
        story.show_case(self._console, number, step, on.catalog)
        with self._console.status("Desk is waiting"):
            self.results.append(await _send(step, on))
        story.show_result(self._console, self.results[-1], on.catalog)

    async def _stay_up(self, on: Stage) -> None:
        """Show commands to try, then a line for each callback that comes, until cancelled."""
        await on.play(sample("crm.toml").read_text(encoding="utf-8"))
        story.show_invitation(self._console, sample_curl(on.callbacks), _order_call(on.callbacks))
        on.gateway.on_line = lambda line: story.show_callback(self._console, line)
        await asyncio.Event().wait()
