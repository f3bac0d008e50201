"""Slips that people make in a configuration: each is named with its place, and with what to write instead."""

import msgspec
import pytest

from gateway.declared.credentials import Auth
from tests.unit.test_config import BACKEND, faults

KINDS = {one.__struct_config__.tag: one for one in Auth.__args__}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, "'text'", "7", "{ heder = 'x' }"])
def test_credentials_that_are_not_whole_are_told_and_no_bug(kind: str, value: str | None) -> None:
    """Nobody who forgets `place` can make anything of a traceback."""
    keys = [field.encode_name for field in msgspec.structs.fields(KINDS[kind])]
    table = "".join(f"{key} = {value}\n" for key in keys if value)
    told = faults(f"{BACKEND}[backends.crm.auth]\ntype = '{kind}'\n{table}")
    assert all(fault.startswith("backends.crm.auth.") for fault in told)


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ("type = 'key'\nvalue = 'x'", "place"),
        ("type = 'sign'\nsecret = 'x'\nover = '{body}'", "place"),
        ("type = 'login'\ntoken = 'token'", "request"),
    ],
)
def test_a_table_that_credentials_need_is_missed(auth: str, missing: str) -> None:
    """Once, and by its name."""
    assert faults(f"{BACKEND}[backends.crm.auth]\n{auth}\n") == [f"backends.crm.auth.{missing}: missing"]
