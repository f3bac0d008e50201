"""What a database's error means. No word of the driver is in a reason: it may show an address or a value."""

from gateway.core.errors import (
    BackendDenied,
    BackendRejected,
    BackendUnavailable,
    NoAnswer,
    TimedOut,
)

# SQLSTATE: of PostgreSQL ("PostgreSQL Error Codes"). A class is its first two characters.
_DENIED_CLASSES = {"28"}
_UNAVAILABLE = {"40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03", "57P05"}
_UNAVAILABLE_CLASSES = {"08", "53", "58", "XX"}
_CANCELLED = {"57014", "25P03", "25P04"}
_NO_PASSWORD = ("password authentication failed", "no password supplied", "no pg_hba.conf entry")

_BROKEN = {"OperationalError", "InterfaceError", "ConnectionTimeout", "PoolTimeout"}
"""What psycopg raises without an SQLSTATE for a connection that cannot be made, or broke."""

# Error numbers of MySQL and MariaDB.
_MYSQL_DENIED = {1044, 1045, 1698, 1251}
_MYSQL_UNAVAILABLE = {1040, 1053, 1203, 1205, 1213, 1226, 2002, 2003, 2005, 2006, 2013, 2055, 4031}
_MYSQL_CANCELLED = {1317, 1969, 3024}

_SQLITE_UNAVAILABLE = ("locked", "busy", "unable to open", "disk i/o", "malformed", "not a database")


def failure_of(error: BaseException | None, scheme: str) -> NoAnswer:
    """Return the failure that an exception of a driver means."""
    kind = type(error).__name__
    if scheme == "postgresql":
        return _of_postgresql(error, kind)
    if scheme == "mysql":
        return _of_mysql(error, kind)
    said = str(error).lower()
    if "interrupted" in said:
        return TimedOut("the database cancelled the statement")
    if any(word in said for word in _SQLITE_UNAVAILABLE):
        return BackendUnavailable("the database cannot be read now")
    return _refused(kind)


def _of_postgresql(error: BaseException | None, kind: str) -> NoAnswer:
    state = getattr(error, "sqlstate", None)
    if state is None:
        return _of_connection(str(error), kind)
    if state[:2] in _DENIED_CLASSES:
        return BackendDenied(f"the database does not accept us: {kind}")
    if state in _CANCELLED:
        return TimedOut("the database cancelled the statement")
    if state in _UNAVAILABLE or state[:2] in _UNAVAILABLE_CLASSES:
        return BackendUnavailable(f"the database cannot serve now: {kind}")
    return _refused(kind)


def _of_connection(said: str, kind: str) -> NoAnswer:
    if any(words in said for words in _NO_PASSWORD):
        return BackendDenied("the database does not accept the password")
    if kind not in _BROKEN:
        return _refused(kind)
    return BackendUnavailable(f"no connection to the database, or it broke: {kind}")


def _of_mysql(error: BaseException | None, kind: str) -> NoAnswer:
    number = error.args[0] if error is not None and error.args else 0
    if number in _MYSQL_DENIED:
        return BackendDenied("the database does not accept us")
    if number in _MYSQL_CANCELLED:
        return TimedOut("the database cancelled the statement")
    if number in _MYSQL_UNAVAILABLE or kind in {"InterfaceError", "InternalError"}:
        return BackendUnavailable(f"the database cannot serve now: {number}")
    return _refused(f"{kind} {number}")


def _refused(kind: str) -> NoAnswer:
    return BackendRejected(f"the database refuses the statement: {kind}")
