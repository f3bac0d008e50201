"""The configuration as it runs: as its author wrote it, and without a secret."""

import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from gateway.console.configuration import as_it_runs
from gateway.declared.catalog import compile_catalog, read
from gateway.declared.secrets import HIDDEN

TEXT = """\ufeff
[gateway]
budget = "1.6s"
[gateway.admin_token]
read = "{secret}-reader-token"
[redis]
url = "redis://user:{quoted}@host:6379/0"
[apps.1400000001]
token = ["{secret}", "${{TOKEN}}"]
signature = "required"
[backends.crm]
url = "http://crm"
attempts = 3
auth = {{ type = "basic", username = "me", password = "{secret}" }}
[lookups.order]
backend = "crm"
request.path = "/orders/{{id}}"
request.headers = {{ X-Api-Key = "{secret}", X-Kind = "7", X-Team = "${{TEAM}}" }}
variables = {{ status = "status" }}
required = ["status"]
not_found = {{ status = "none" }}
"""


def shown(secret: str) -> dict[str, object]:
    """Return what the console shows of a configuration with a secret wherever one can stand."""
    text = TEXT.format(secret=secret, quoted=quote(secret, safe=""))
    catalog = compile_catalog(*read(text, {"TOKEN": f"{secret}-2", "TEAM": "team-blue"}))
    return as_it_runs(text.encode(), catalog.settings)


def test_tables_are_as_their_author_wrote_them() -> None:
    """With units, and with the names of the environment's variables."""
    tables = shown("hunter2-hunter2")
    assert tables["gateway"] == {"budget": "1.6s", "admin_token": {"read": HIDDEN}}
    assert tables["apps"] == {"1400000001": {"token": [HIDDEN, "${TOKEN}"], "signature": "required"}}
    crm = tables["backends"]["crm"]  # type: ignore[index] # a table
    assert crm["attempts"] == 3
    request = tables["lookups"]["order"]["request"]  # type: ignore[index]
    assert request["path"] == "/orders/{id}"
    assert request["headers"] == {"X-Api-Key": HIDDEN, "X-Kind": "7", "X-Team": "${TEAM}"}


def test_an_address_is_shown_without_its_secrets() -> None:
    """However short they are, and also those of its options."""
    text = '[redis]\nurl = "redis+sentinel://u:pw@a,b/s?sentinel_password=in-options"\n'
    settings = compile_catalog(*read(text, {})).settings
    url = f"redis+sentinel://u:{HIDDEN}@a,b/s?sentinel_password={HIDDEN}"
    assert as_it_runs(text.encode(), settings)["redis"] == {"url": url}


def test_numbers_and_dates_are_shown_and_those_of_a_secret_hidden() -> None:
    """TOML has both."""
    text = "[gateway]\n"
    settings = compile_catalog(*read(text, {})).settings
    more = f"{text}[x]\nat = 2026-11-27\npin = 1234\nyes = true\n"
    assert as_it_runs(more.encode(), settings)["x"] == {"at": "2026-11-27", "pin": HIDDEN, "yes": True}


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789!#+-_", min_size=6, max_size=40).map("Q9".__add__))
def test_no_secret_is_shown(secret: str) -> None:
    """Wherever it stands."""
    text = json.dumps(shown(secret))
    assert secret not in text
    assert quote(secret, safe="") not in text
