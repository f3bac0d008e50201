"""The configuration that gateways and workers of the benchmark run."""

APP = 1400000001
TOKEN = "xxxxyyyy"

_FILE = """
[gateway]
listen = "127.0.0.1:{listen}"
admin = "127.0.0.1:0"
local_records = {local_records}

[redis]
url = "{url}"
prefix = "{prefix}"
timeout = "1s"                    # a stall of a shared machine is no outage

[apps.{app}]
token = "{token}"

[[routes]]
when = {{ staticKey = "kept" }}
lookups = ["kept"]

[[routes]]
when = {{ staticKey = "noop" }}
lookups = ["noop"]

[lookups.kept]
python = "tests.bench.noop:noop"
inputs = ["SystemClientUserID"]
variables = {{ answer = "answer" }}
fresh = "1h"

[lookups.noop]
python = "tests.bench.noop:noop"
inputs = ["SystemClientUserID"]
variables = {{ answer = "answer" }}
fresh = "0s"
stale_if_error = "10s"            # millions of records are not the point

[lookups.nap]
python = "tests.bench.noop:nap"
inputs = ["SystemClientUserID"]
variables = {{ answer = "answer" }}
fresh = "0s"
stale_if_error = "10s"
"""
_LANE = """
[backends.{name}]
url = "http://127.0.0.1:9"

[lookups.{name}]
backend = "{name}"
request = {{ path = "/" }}
variables = {{ {name} = "answer" }}
"""


def configuration(
    url: str, prefix: str, *, listen: int = 0, local_records: int = 50_000, more_lanes: int = 0
) -> str:
    """Return the TOML of a deployment: a lane of Python lookups, and as many HTTP lanes as asked for."""
    text = _FILE.format(
        url=url, prefix=prefix, listen=listen, local_records=local_records, app=APP, token=TOKEN
    )
    return text + "".join(_LANE.format(name=f"lane{number}") for number in range(more_lanes))
