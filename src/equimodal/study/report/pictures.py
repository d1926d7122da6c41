"""Small pictures within a page, as SVG in its own colors."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from equimodal.study.analysis.claims import Told

# Units of the picture: of all, before and after the axis, of a row.
WIDTH, LEFT, RIGHT, LINE = 340, 84, 14, 20
LANE = 26  # of a method in the picture of all runs


class _Axis:
    def __init__(self, low: float, high: float, left: int, width: int) -> None:
        room = (high - low or abs(high) or 1.0) * 0.08
        self.low, self.high = low - room, high + room
        self.left, self.width = left, width

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.left + share * self.width, 1)


def intervals(numbers: Sequence[Told], above: float | None, below: float | None) -> str:
    """Draw numbers with their intervals, a row each, over the region that a claim says they lie in."""
    known = [n for n in numbers if n.value is not None]
    ends = [x for n in known for x in (n.value, n.low, n.high) if x is not None]
    bounds = [b for b in (above, below) if b is not None]
    if not ends:
        return ""
    axis = _Axis(min(*ends, *bounds), max(*ends, *bounds), LEFT, WIDTH - LEFT - RIGHT)
    height = LINE * len(known)
    start, end = (
        axis(axis.low if above is None else above),
        axis(axis.high if below is None else below),
    )
    region = f'x="{start}" y="0" width="{round(end - start, 1)}" height="{height}"'
    parts = [f'<rect class="region" {region}/>']
    for bound in bounds:
        x = axis(bound)
        parts.append(f'<line class="bound" x1="{x}" x2="{x}" y1="0" y2="{height}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{height + 13}">{bound:g}</text>')
    for i, n in enumerate(known):
        y = LINE * i + LINE / 2
        if n.low is not None and n.high is not None:
            span = f'x1="{axis(n.low)}" x2="{axis(n.high)}" y1="{y}" y2="{y}"'
            parts.append(f'<line class="interval" {span}/>')
        parts.append(f'<circle class="value" cx="{axis(n.value or 0.0)}" cy="{y}" r="4"/>')
        label = escape(n.label or "ours")
        parts.append(f'<text class="row" x="{LEFT - 8}" y="{y + 4}">{label}</text>')
    said = "; ".join(n.text for n in known)
    return _svg(WIDTH, height + 18, f"{said}. Shaded: where the claim says it lies.", parts)


def accuracies(
    rows: Iterable[Mapping[str, Any]], methods: Sequence[str], scales: Sequence[str]
) -> str:
    """Draw a dot a run at its test accuracy, a lane a method, a color a scale."""
    width, axis = 720, _Axis(0, 100, 90, 610)
    height, parts = LANE * len(methods), []
    for x in range(0, 101, 20):
        parts.append(f'<line class="grid" x1="{axis(x)}" x2="{axis(x)}" y1="0" y2="{height}"/>')
        parts.append(f'<text class="tick" x="{axis(x)}" y="{height + 14}">{x} %</text>')
    for lane, method in enumerate(methods):
        y = LANE * lane + LANE / 2
        parts.append(f'<text class="row" x="80" y="{y + 4}">{escape(method)}</text>')
    lanes = {method: i for i, method in enumerate(methods)}
    spread = (LANE - 10) / max(1, len(scales))
    for row in rows:
        if pd.isna(row["accuracy"]):
            continue
        at = scales.index(row["scale"])
        y = LANE * lanes[row["method"]] + 5 + spread * (at + 0.5)
        key = escape(f"{row['scale']}/{row['run']}", quote=True)
        parts.append(
            f'<circle class="dot c{at % 6}" cx="{axis(100 * row["accuracy"])}" cy="{round(y, 1)}" r="3.5"'
            f' data-run="{key}" data-scale="{row["scale"]}" data-dataset="{row["dataset"]}"'
            f' data-method="{row["method"]}"/>'
        )
    return _svg(width, height + 20, "Test accuracy of every network, a row a method.", parts)


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    said = escape(title)
    return (
        f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{said}</title>{''.join(parts)}</svg>"
    )
