"""Waves: the lookups of a route in the order in which they can be made.

A lookup needs another one of its route that sets a variable which it reads. It is made in the wave after the
last one that it needs. Lookups of one wave are made side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

Needs = Mapping[str, Sequence[str]]
"""By lookup the others that it needs."""


def needs_of(
    lookups: Sequence[str], reads: Mapping[str, Sequence[str]], sets: Mapping[str, Sequence[str]]
) -> Needs:
    """Return the needs of a route's ``lookups``, by the variables that each of them reads and sets.

    A variable that a lookup sets itself is no need: it reads the callback's own.
    """
    setters = {variable: name for name in lookups for variable in sets.get(name, ())}
    return {
        name: [one for one in dict.fromkeys(map(setters.get, reads.get(name, ()))) if one not in {None, name}]
        for name in lookups
    }


def in_waves(lookups: Sequence[str], needs: Needs) -> Iterator[list[str]]:
    """Yield the waves, each in the order of ``lookups``; raise CycleError."""
    sorter = TopologicalSorter({name: needs[name] for name in lookups})
    sorter.prepare()
    while sorter.is_active():
        ready = set(sorter.get_ready())
        yield [name for name in lookups if name in ready]
        sorter.done(*ready)


def find_cycle(lookups: Sequence[str], needs: Needs) -> list[str]:
    """Return lookups that need one another, the first one again at the end; empty if there are none."""
    try:
        list(in_waves(lookups, needs))
    except CycleError as error:
        return list(error.args[1])
    return []
