"""A section of the results: what was measured, its tables, its targets, and bars for the picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.figures import Target


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text; the first column names, the others are figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of one kind: names and values, on a logarithmic axis where the values are far apart."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float]]
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a run."""

    title: str
    about: str
    tables: Sequence[Table]
    targets: Sequence[Target] = ()
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()
