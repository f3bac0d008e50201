"""SQL lookups: parameters are found where they are some, values and errors of drivers keep their meaning."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendUnavailable,
    NoAnswer,
    TimedOut,
)
from gateway.core.variables import as_text
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.statement import compile_statement
from gateway.lookups.other_answers import interpret_rows
from gateway.lookups.sql_errors import failure_of
from gateway.lookups.sql_values import as_value, size_of


def faults_of(sql: str) -> list[str]:
    """Return what is wrong with a statement."""
    found: list[str] = []
    compile_statement(sql, lambda _, message: found.append(message))
    return found


@pytest.mark.parametrize(
    ("sql", "parameters", "text"),
    [
        ("select a from t where b = :b and c = :c or b = :b", ("b", "c"), None),
        ("select ':no' from t where a = :yes;", ("yes",), "select '\\:no' from t where a = :yes"),
        ("select 'it''s :no', \":no\", `:no` where :yes", ("yes",), None),
        ("-- :no\nselect 1 /* :no */ where :yes", ("yes",), None),
        ("select $$ :no $$, $x$ :no $x$ where :yes", ("yes",), None),
        ("select a::text, b[1:2] where :yes", ("yes",), "select a\\:\\:text, b[1\\:2] where :yes"),
        ("select '12:30' where a = :Ünï", ("Ünï",), None),
        ("with x as (select 1) select * from x", (), None),
    ],
)
def test_parameters_are_found_outside_of_texts_and_comments(
    sql: str, parameters: tuple[str, ...], text: str | None
) -> None:
    """Every other colon is escaped, for SQLAlchemy looks less closely."""
    statement = compile_statement(sql, lambda place, message: pytest.fail(f"{place}: {message}"))
    assert statement.parameters == parameters
    if text is not None:
        assert statement.text == text
    assert sql not in repr(statement)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("delete from customers", "must begin with SELECT"),
        ("", "must begin with SELECT"),
        ("select 1; select 2", "must be one statement"),
        ("select a from t where b = {b}", "no {places}"),
    ],
)
def test_statement_that_cannot_be_asked_is_a_fault(sql: str, message: str) -> None:
    """Each says what to write."""
    assert any(message in fault for fault in faults_of(sql))


@given(st.text(max_size=80))
def test_any_text_is_a_statement_or_a_fault(sql: str) -> None:
    """Whatever an author writes."""
    faults_of(sql)


class Tier(Enum):
    """A type of a driver's."""

    GOLD = "gold"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (7, "7"),
        (2.5, "2.5"),
        (float("nan"), "nan"),
        (Decimal("29.90"), "29.90"),
        (Decimal("1E+3"), "1000"),
        (Decimal("NaN"), "NaN"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime(2024, 2, 29, 12, tzinfo=UTC), "2024-02-29T12:00:00+00:00"),
        (timedelta(seconds=90), "90.0"),
        (b"\x00\xff", "00ff"),
        (memoryview(b"a"), "61"),
        (Tier.GOLD, "gold"),
        ({"a": [Decimal("1.50"), {1}]}, '{"a":[1.50,[1]]}'),
        (object, "<class 'object'>"),
    ],
)
def test_value_of_a_driver_is_a_text(value: object, text: str) -> None:
    """As the backend's own number, date or document."""
    assert as_text(as_value(value)) == text


def test_values_within_one_another_without_end_have_one() -> None:
    """A driver of the user's own may give anything."""
    endless: list[object] = []
    endless.append(endless)
    assert as_value(endless)
    assert size_of({"a": ["bcd", 1]}) == 12


class PgError(Exception):
    """An error with a state, as psycopg raises it."""

    def __init__(self, sqlstate: str | None, text: str = "") -> None:
        """Take the state."""
        super().__init__(text)
        self.sqlstate = sqlstate


OperationalError = type("OperationalError", (PgError,), {})


@pytest.mark.parametrize(
    ("error", "scheme", "kind"),
    [
        (PgError("42P01"), "postgresql", BackendRejected),
        (PgError("28P01"), "postgresql", BackendDenied),
        (PgError("57014"), "postgresql", TimedOut),
        (PgError("57P01"), "postgresql", BackendUnavailable),
        (PgError("08006"), "postgresql", BackendUnavailable),
        (OperationalError(None, "connection refused"), "postgresql", BackendUnavailable),
        (OperationalError(None, 'password authentication failed for "x"'), "postgresql", BackendDenied),
        (PgError(None, "a bug"), "postgresql", BackendRejected),
        (Exception(1045, "s3cret"), "mysql", BackendDenied),
        (Exception(3024, "s3cret"), "mysql", TimedOut),
        (Exception(2013, "s3cret"), "mysql", BackendUnavailable),
        (Exception(1064, "s3cret"), "mysql", BackendRejected),
        (Exception(), "mysql", BackendRejected),
        (Exception("interrupted"), "sqlite", TimedOut),
        (Exception("database is locked"), "sqlite", BackendUnavailable),
        (Exception("no such table: s3cret"), "sqlite", BackendRejected),
        (None, "sqlite", BackendRejected),
    ],
)
def test_error_of_a_driver_has_its_meaning_and_none_of_its_words(
    error: Exception | None, scheme: str, kind: type[NoAnswer]
) -> None:
    """They may show an address or a value."""
    failure = failure_of(error, scheme)
    assert type(failure) is kind
    assert "s3cret" not in str(failure)
    assert "refused" not in str(failure) or kind is BackendRejected


def test_rules_judge_rows_and_no_row_is_not_found() -> None:
    """A rule of the author's comes first."""
    text = (
        '[backends.db]\nurl = "sqlite:///x"\n[lookups.a]\nbackend = "db"\nsql = "select 1 as a"\n'
        'variables = { a = "a" }\nnot_found = { a = "none" }\n'
        '[[lookups.a.answers]]\nwhen = { a = 9 }\nis = "unavailable"\n'
    )
    lookup = compile_catalog(*read(text, {})).lookups["a"]
    assert interpret_rows(lookup, {"a": 1}).variables == {"a": "1"}
    assert interpret_rows(lookup, None).variables == {"a": "none"}
    with pytest.raises(BackendUnavailable):
        interpret_rows(lookup, {"a": 9})
