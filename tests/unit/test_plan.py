"""Which records and jobs stand for a callback's lookups."""

from dataclasses import replace

import jmespath
import pytest

from gateway.core.messages import Callback, SessionEvent
from gateway.core.records import Known, record_name, user_record_name
from gateway.declared.app import App, Markers
from gateway.declared.lookup import Lookup
from gateway.front.plan import Planned, plan

APP = App(1, (), "off", "error", Markers(), indexed=5.0)
ORDER = Lookup("order", "crm", "v1", ("id", "lang"), {"status": jmespath.compile("status")})
SHARED = replace(ORDER, share="user")
INPUTS = {"id": "7", "lang": ""}
OWN = record_name(1, "s1", "order", "v1", INPUTS)
OF_USER = user_record_name(1, "u1", "order", "v1", INPUTS)
MEMORY = {OWN: Known({"status": "own"}, 1.0), OF_USER: Known({"status": "of the user"}, 2.0)}


def planned(lookup: Lookup, user: str = "u1", **variables: str) -> Planned:
    """Plan a lookup of a callback; this process remembers both records."""
    callback = Callback(1, "s1", user, "/", {"id": "7"} | variables)
    return plan(lookup, APP, callback, "t1", MEMORY.get)


def test_job_names_the_record_that_would_answer_it() -> None:
    """The worker writes it there, and the next callback looks there."""
    job = planned(ORDER).job
    assert (job.lookup, job.app, job.session, job.user, job.trace_id) == ("order", 1, "s1", "u1", "t1")
    assert (job.record, job.user_record) == (OWN, "")
    assert job.inputs == INPUTS


def test_remembered_record_comes_with_the_plan() -> None:
    """By it the callback may be answered without asking."""
    assert planned(ORDER).known == MEMORY[OWN]
    assert planned(ORDER, id="8").known is None


@pytest.mark.parametrize(
    ("lookup", "user", "shares"), [(ORDER, "u1", False), (SHARED, "", False), (SHARED, "u1", True)]
)
def test_users_record_counts_only_where_the_lookup_shares_it(lookup: Lookup, user: str, shares: bool) -> None:  # noqa: FBT001
    """An answer of another session is nobody's business, unless the configuration says so."""
    one = planned(lookup, user)
    assert (one.job.user_record, one.of_user) == ((OF_USER, MEMORY[OF_USER]) if shares else ("", None))


def test_lookup_is_complete_when_every_input_has_a_value() -> None:
    """One that is not would ask a question without its subject."""
    assert not planned(ORDER).complete
    assert planned(ORDER, lang="zh").complete


def test_session_event_is_planned_like_a_callback_of_its_session() -> None:
    """Else the first callback would not find what was prefetched for it."""
    event = SessionEvent(1, "s1", "u1", "Session.Created", {"id": "7", "lang": ""}, ())
    assert plan(ORDER, APP, event, "t1", MEMORY.get) == planned(ORDER)
