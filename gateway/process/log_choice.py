"""What ``[logs]`` says of each line, applied."""

from collections.abc import Mapping
from typing import Any

from gateway.declared.logs import LogChoice
from gateway.telemetry import logs
from gateway.telemetry.events import Event

_DIGITS = 8
_SAMPLED = ("callback.answered", "lookup.finished")


def choose_lines(choice: LogChoice) -> None:
    """Write the log as the configuration says, from now on."""
    plain = choice.user == "plain" and choice.sampled >= 1
    logs.choose(choice.level, None if plain else _prepare(choice))


def _prepare(choice: LogChoice) -> logs.Prepare:
    # A trace id is random: its first digits say of gateway and worker alike if a callback is told.
    cut = f"{int(choice.sampled * 16**_DIGITS):0{_DIGITS}x}" if choice.sampled < 1 else ""

    def prepare(event: Event) -> Mapping[str, Any] | None:
        fields = event.fields
        if cut and event.name in _SAMPLED and fields["code"] == 0 and fields["trace_id"][:_DIGITS] >= cut:
            return None
        if "user" not in fields:
            return fields
        return {**fields, "user": choice.named(fields["user"])}

    return prepare
