"""What the document of a storm says before its figures."""

from tests.storm.pace import Pace
from tests.storm.tally import DISTURBED, MOST_PLAYS
from tests.storm.workload import FEWEST, MOST


def introduction(pace: Pace) -> str:
    """Return what a reader has to know about a run of this pace."""
    return f"""\
# Storm

What callbacks are worth when the CRM, the workers or Redis fail: deskgate beside what people would build \
instead. Figures of one run on one machine; `make storm` plays it on yours.

**The workload** is made from a seed: {pace.sessions:,} sessions of {FEWEST} to {MOST} callbacks, each with \
two or three lookups, of which about 70 % repeat inputs that the session has asked for already. A session's \
callbacks are {pace.think_least:g} s and more apart (on top of it an exponential of mean \
{pace.think_more:g} s); sessions begin at any time of the {pace.length:g} s that a scenario takes, which \
makes about 110 callbacks a second. Each callback is sent at its time, whatever became of the others, and \
its reply time counts from then. Troubles of the CRM last from {pace.trouble_from:g} s to \
{pace.trouble_until:g} s; a worker is killed every {pace.kill_every:g} s; Redis is away for \
{pace.redis_away:g} s, from {pace.trouble_from:g} s on.

**The contestants** get the same callbacks one after the other, each with a CRM and a Redis of its own; the \
CRM draws the fate of the n-th call of a path from the same seed. Whatever ends is started again at once.

- *deskgate*: a gateway and two workers, on `tests/storm/deskgate.toml`.
- *direct*: an aiohttp handler that asks the CRM itself, its lookups in parallel, 1.6 s for all: no cache, \
no retry, no worker, no Redis.
- *arq-plain*: an aiohttp handler and two stock arq workers, a job per callback, `Job.result` with a timeout \
of 1.6 s; workers poll every 20 ms, the handler every 50 ms for each result, which is as often as one core \
can with a slow CRM.

**The columns**: *in time*, answered within 2 s with HTTP 200 and a well-formed envelope; *right*, every \
variable of every lookup there, as the CRM has it, and not older than `fresh` where the code is 0, than \
`stale_if_error` where it is not (the CRM's answers say when they were made); *asked before*, callbacks all \
of whose lookups, with these inputs, the session had been answered right before; *of them right*; *code 0*; \
*foreign*, callbacks with a variable of another session, user or input. Reply times are those of all \
callbacks, the ones that Desk gave up with its 2 s; *late* is the most by which the generator was late \
with a callback, which counts as reply time too; *CRM calls* are per callback; *restarts* of processes that \
had ended, killed or not; *plays*: one in which the generator was late by more than {DISTURBED * 1000:g} ms \
is played again after the others, up to {MOST_PLAYS} in all, since the machine was busy with something \
else. The one in which it was the least late counts; but a foreign variable counts in any.
"""
