"""The meaning of an HTTP status and a body, before the mapping."""

import jmespath
import pytest

from gateway.core.errors import BackendRejected, BackendUnavailable, NotJson
from gateway.declared.lookup import Lookup
from gateway.lookups.reply import Finding, decode, judge

ORDER = Lookup(
    "order", "crm", "v1", (), {"status": jmespath.compile("status"), "total": jmespath.compile("total")}
)
OFTEN_MISSING = Lookup("order", "crm", "v1", (), ORDER.variables, not_found={"status": "none"})


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_has_a_body_to_be_read(status: int) -> None:
    """The status says that there is an answer, and not which one."""
    assert judge(OFTEN_MISSING, status) is None


@pytest.mark.parametrize("status", [500, 503, 599, 429])
def test_backend_in_trouble_is_worth_another_attempt(status: int) -> None:
    """It may be well in a moment."""
    with pytest.raises(BackendUnavailable, match=str(status)) as caught:
        judge(ORDER, status)
    assert caught.value.transient


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 428, 430, 499])
def test_refused_question_is_not_asked_again(status: int) -> None:
    """The same question would be refused again."""
    with pytest.raises(BackendRejected, match=f"{status}$") as caught:
        judge(ORDER, status)
    assert not caught.value.transient


@pytest.mark.parametrize("status", [300, 302, 399])
def test_redirect_is_named_as_such(status: int) -> None:
    """A login page is the likeliest cause, and whoever reads the line should think of it."""
    with pytest.raises(BackendRejected, match="redirects are not followed"):
        judge(ORDER, status)


def test_missing_customer_is_an_answer_where_that_is_declared() -> None:
    """And only a 404 says so."""
    assert judge(OFTEN_MISSING, 404) == Finding({"status": "none", "total": ""}, found=False)
    with pytest.raises(BackendRejected):
        judge(OFTEN_MISSING, 410)


@pytest.mark.parametrize(("body", "value"), [(b"{}", {}), (b"null", None), (b' [1, "\xc3\xa9"] ', [1, "é"])])
def test_json_is_decoded(body: bytes, value: object) -> None:
    """The reply may have any type: the expressions decide what it gives."""
    assert decode(body) == value


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'"\xff"', b"[" * 100_000, b"{} {}"])
def test_body_that_is_no_json_is_asked_for_again(body: bytes) -> None:
    """A proxy's page, or a reply that was cut short: the next one may be well."""
    with pytest.raises(NotJson) as caught:
        decode(body)
    assert caught.value.transient
