"""The picture of a run: bar charts in one SVG, readable on light and dark pages, drawn without a library."""

from collections.abc import Sequence
from html import escape
from math import log10

from tests.bench.figures import brief
from tests.bench.section import Chart

_WIDTH = 720
_NAMES = 220
_BARS = 400
_ROW = 24
_OURS, _OTHERS = "#2563eb", "#9aa4b2"
_STYLE = "text{font:13px system-ui,sans-serif;fill:#1f2933}.title{font-weight:600}.unit{fill:#616e7c}"


def draw(charts: Sequence[Chart]) -> str:
    """Return the SVG; this project's bars stand out by their colour."""
    parts, top = [], 16
    for chart in charts:
        parts.append(_chart(chart, top))
        top += _ROW * (len(chart.bars) + 2) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}">'
        f"<style>{_STYLE}</style>"
        '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>\n'
        f"{''.join(parts)}</svg>\n"
    )


def _chart(chart: Chart, top: int) -> str:
    unit = f"{chart.unit}; logarithmic" if chart.logarithmic else chart.unit
    title = f'<tspan class="title">{escape(chart.title)}</tspan>'
    title += f'<tspan class="unit" dx="8">{escape(unit)}</tspan>'
    lines = [f'<text x="16" y="{top + 16}">{title}</text>\n']
    bars = [(name, value) for name, value in chart.bars if value > 0]
    if bars:
        low, high = min(value for _, value in bars), max(value for _, value in bars)
        for number, (name, value) in enumerate(bars, start=1):
            length = _length(value, low, high, logarithmic=chart.logarithmic)
            lines.append(_bar(name, value, length, top + number * _ROW + 4))
    return "".join(lines)


def _length(value: float, low: float, high: float, *, logarithmic: bool) -> float:
    """Return a bar's length; on a logarithmic axis the shortest bar still shows."""
    if not logarithmic:
        return _BARS * value / high
    decades = log10(high / low) + 0.5
    return _BARS * (log10(value / low) + 0.5) / decades


def _bar(name: str, value: float, length: float, y: int) -> str:
    colour = _OURS if name.startswith("deskgate") else _OTHERS
    return (
        f'<text x="{_NAMES}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_NAMES + 10}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 7}" rx="3" '
        f'fill="{colour}"/>'
        f'<text x="{_NAMES + 18 + length:.1f}" y="{y + 14}">{brief(value)}</text>\n'
    )
