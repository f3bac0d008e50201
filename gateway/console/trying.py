"""The process of a trial: the question comes by standard input, the result goes out as JSON.

Run by ``python -m gateway.console.trying FILE``. It ends with 1, and a line that says why, if there is none.
"""

import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from gateway.console.trial import LONGEST_TRIAL, Question
from gateway.core.variables import as_json
from gateway.declared.catalog import compile_content, read_content
from gateway.declared.reading import ConfigFaults
from gateway.declared.wording import unknown
from gateway.tools.trial.run import NoSuchLookup, try_lookup
from gateway.tools.trial.show import as_dict
from gateway.tools.trial.steps import Given


def main() -> None:
    """Run one trial."""
    signal.alarm(int(LONGEST_TRIAL) + 1)  # if nobody is left who would end it
    path, question = Path(sys.argv[1]), msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    sys.path.append(str(Path.cwd()))  # as gateways and workers look for Python lookups
    try:
        catalog = compile_content(read_content(path), embedded=True)
    except ConfigFaults as error:
        sys.exit(f"{path} has faults: {'; '.join(map(str, error.faults))}")
    given = (
        None if question.reply is None else Given(question.reply.encode(errors="replace"), question.status)
    )
    try:
        trial = uvloop.run(
            try_lookup(catalog, question.lookup, question.variables, given=given, dry_run=question.dry_run)
        )
    except NoSuchLookup:
        sys.exit(unknown(question.lookup, "a lookup of this configuration", catalog.lookups))
    except (ConfigFaults, ImportError) as error:
        sys.exit(" ".join(str(error).split()))
    sys.stdout.write(as_json(as_dict(trial)))


if __name__ == "__main__":
    main()
