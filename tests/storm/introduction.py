"""What the document of a storm says before its figures."""

from tests.storm.pace import Pace
from tests.storm.tally import DISTURBED, MOST_PLAYS
from tests.storm.workload import FEWEST, MOST


def introduction(pace: Pace) -> str:
    """Return what a reader has to know about a run of this pace."""
    return f"""\
# Storm

This document shows the worth of callbacks when the CRM, the workers or Redis fail. It compares deskgate \
with two simpler ways to build it. The figures are of one run on one machine; `make storm` plays it on \
yours.

**The workload** is made from a seed: {pace.sessions:,} sessions of {FEWEST} to {MOST} callbacks each. A \
callback has two or three lookups. About 70 % of these repeat inputs that the session has already asked \
for. Between two callbacks of a session lie {pace.think_least:g} s, and an exponential time of mean \
{pace.think_more:g} s on top. Sessions begin at random times of a scenario, which takes {pace.length:g} s: \
about 110 callbacks a second. Each callback is sent at its time, even if others still wait. Its reply time \
counts from then.

**The troubles.** Those of the CRM last from {pace.trouble_from:g} s to {pace.trouble_until:g} s. A worker \
is killed every {pace.kill_every:g} s. Redis is away for {pace.redis_away:g} s, from {pace.trouble_from:g} \
s on. A process that ends is started again at once.

**The contestants** get the same callbacks, one contestant after the other. Each has a CRM and a Redis of \
its own. The CRM draws the fault of the n-th call of a path from the same seed.

- *deskgate*: a gateway and two workers, on `tests/storm/deskgate.toml`.
- *direct*: an aiohttp handler that asks the CRM itself, all lookups of a callback side by side, within \
1.6 s. It has no cache, no retry, no worker and no Redis.
- *arq-plain*: an aiohttp handler and two stock arq workers. Each callback is a job, awaited by \
`Job.result` with a timeout of 1.6 s. Workers poll every 20 ms, and the handler polls for each result \
every 50 ms. With a slow CRM, one core can do no more.

**The columns**:

- *in time*: answered within 2 s, with HTTP 200 and a well-formed envelope.
- *right*: each variable of each lookup is there, and is as the CRM has it. With code 0 it is not older \
than `fresh`, with another code not older than `stale_if_error`. (The CRM's answers say when they were \
made.)
- *asked before*: callbacks with lookups that the session had all been answered right before, with the \
same inputs. *Of them right*: the share of these.
- *code 0*: the share of callbacks with this code.
- *blank*: callbacks with an empty variable where the CRM has a value.
- *foreign*: callbacks with a variable of another session, user or input.
- *p50*, *p99*, *worst*: reply times of all callbacks. A callback that Desk gave up counts 2 s.
- *late*: the longest time by which the generator was late with a callback. It counts as reply time, too.
- *CRM calls*: calls per callback.
- *restarts*: of processes that had ended, killed or not.
- *plays*: the generator may be late by more than {DISTURBED * 1000:g} ms, because the machine was busy \
with something else. Then the play is repeated after the others, up to {MOST_PLAYS} plays in all. The one \
with the least lateness counts. A foreign variable counts in every play.
"""
