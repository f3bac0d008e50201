"""Plan: the lookups that a callback needs, and the names of their records. Pure."""

from collections.abc import Callable

import msgspec

from gateway.core.messages import Callback, Job, SessionEvent
from gateway.core.records import Known, record_name, user_record_name
from gateway.declared.app import App
from gateway.declared.lookup import Lookup

Recall = Callable[[str], Known | None]
"""Returns the record that this process holds under a name."""


class Planned(msgspec.Struct, frozen=True):
    """A lookup that a callback needs: the job that would answer it, and the records in this process.

    ``known`` is the session's record. ``of_user`` is the record that the user's sessions share, where the
    lookup shares its answers.
    """

    lookup: Lookup
    app: App
    job: Job
    known: Known | None
    of_user: Known | None

    @property
    def complete(self) -> bool:
        """True if every input has a value."""
        return all(self.job.inputs.values())


def plan(
    lookup: Lookup, app: App, callback: Callback | SessionEvent, trace_id: str, recall: Recall
) -> Planned:
    """Name the record that answers ``lookup`` for this callback, and the job that would write it."""
    inputs = {name: callback.variables.get(name, "") for name in lookup.inputs}
    record = record_name(callback.app, callback.session, lookup.name, lookup.version, inputs)
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
    return Planned(lookup, app, job, known, of_user)
