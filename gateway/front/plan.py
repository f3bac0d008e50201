"""Plan: the lookups that a callback needs, and the names of their records. Pure."""

import math
import string
from collections.abc import Callable, Mapping

import msgspec

from gateway.core.errors import Code, InvalidInput
from gateway.core.messages import Callback, Job, SessionEvent
from gateway.core.records import Known, record_name, user_record_name
from gateway.declared.accept import is_blank
from gateway.declared.app import App
from gateway.declared.lookup import Lookup

_SEEN = frozenset(string.ascii_letters + string.digits)
"""What most inputs begin with: they need no look."""

Recall = Callable[[str], Known | None]
"""Returns the record that this process holds under a name."""


class Refused(msgspec.Struct, frozen=True):
    """Why a lookup cannot be asked for: MISSING_INPUT or INVALID_INPUT, and the name of the input."""

    code: Code
    input: str


class Planned(msgspec.Struct, frozen=True):
    """A lookup that a callback needs: the job that would answer it, and the records in this process.

    ``known`` is the session's record. ``of_user`` is the record that the user's sessions share, where the
    lookup shares its answers. A ``refused`` lookup cannot be asked for, and has no record. ``mark`` is the
    number of erasures seen when its callback came: who was forgotten since gets an answer, and no record.
    """

    lookup: Lookup
    app: App
    job: Job
    known: Known | None
    of_user: Known | None
    refused: Refused | None = None
    mark: float = math.inf


def plan(  # noqa: PLR0913, PLR0917 - all that a lookup is planned by
    lookup: Lookup,
    app: App,
    callback: Callback | SessionEvent,
    trace_id: str,
    recall: Recall,
    mark: float = math.inf,
) -> Planned:
    """Name the record that answers ``lookup`` for this callback, and the job that would write it."""
    inputs, refused = _take_inputs(lookup, callback.variables)
    reader = callback.user if lookup.python is not None else ""  # its function has it as ``ask.user``
    record = record_name(callback.app, callback.session, lookup.name, lookup.version, inputs, reader)
    known, user_record, of_user = recall(record), "", None
    if lookup.share == "user" and callback.user:
        user_record = user_record_name(callback.app, callback.user, lookup.name, lookup.version, inputs)
        of_user = recall(user_record)
    job = Job(
        lookup=lookup.name,
        inputs=inputs,
        app=callback.app,
        session=callback.session,
        record=record,
        trace_id=trace_id,
        user_record=user_record,
        user=callback.user,
        version=lookup.version,
    )
    if refused is not None:
        known = of_user = None
    return Planned(lookup, app, job, known, of_user, refused, mark)


def _take_inputs(lookup: Lookup, variables: Mapping[str, str]) -> tuple[dict[str, str], Refused | None]:
    """Return the inputs of a lookup, each in its one form, and why it cannot be asked for with them."""
    inputs = {name: variables.get(name, "") for name in lookup.inputs}
    for name, value in inputs.items():
        if value[:1] not in _SEEN and is_blank(value):
            inputs[name] = ""  # many backends trim it, and then the question is for anybody
    try:
        for name, accept in lookup.accept.items():
            inputs[name] = accept.normalise(name, inputs[name])
    except InvalidInput as error:
        return {}, Refused(Code.INVALID_INPUT, str(error))
    if not all(inputs.values()):
        # If all inputs are optional, one of them must be there: else the question would be for anybody.
        least = lookup.optional if any(inputs.values()) else ()
        for name, value in inputs.items():
            if not value and name not in least:
                return inputs, Refused(Code.MISSING_INPUT, name)
    unfit = lookup.request.refuses(inputs) if lookup.request is not None else None
    return (inputs, None) if unfit is None else ({}, Refused(Code.INVALID_INPUT, unfit))
