"""Draw small bar charts as SVG, with a title on each bar, for those who point at it and for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_GAP = 1.0
_LEAST_HEIGHT = 1.5


class Bar(NamedTuple):
    """A bar of one or more parts, from the bottom up."""

    title: str
    parts: tuple[float, ...]


def bars(
    values: Sequence[Bar], kinds: Sequence[str], *, label: str, width: int, height: int, least_bars: int = 1
) -> str:
    """Return a chart of bars.

    Args:
        values: The bars from left to right.
        kinds: A CSS class for each part of a bar.
        label: What the chart shows, for screen readers.
        width: The width of the chart in pixels.
        height: The height of the chart in pixels.
        least_bars: Leave room for so many bars, so that a few bars are not too broad.
    """
    step = width / max(len(values), least_bars, 1)
    highest = max((sum(bar.parts) for bar in values), default=0) or 1
    drawn = "".join(
        _bar(bar, kinds, _Box(number * step, max(step - _GAP, 0.5), height), highest)
        for number, bar in enumerate(values)
    )
    return (
        f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" preserveAspectRatio="none">'
        f'<line class="axis" x1="0" x2="{width}" y1="{height - 0.5}" y2="{height - 0.5}"/>{drawn}</svg>'
    )


class _Box(NamedTuple):
    """Where a bar goes."""

    left: float
    width: float
    height: int


def _bar(bar: Bar, kinds: Sequence[str], box: _Box, highest: float) -> str:
    drawn: list[str] = []
    top = box.height - 1.0
    for part, kind in zip(bar.parts, kinds, strict=True):
        if part > 0:
            # Every part can be seen, however small it is beside the others.
            tall = max(part / highest * (box.height - 2), _LEAST_HEIGHT)
            top -= tall
            drawn.append(
                f'<rect class="{kind}" x="{box.left:.2f}" y="{top:.2f}" width="{box.width:.2f}" height="{tall:.2f}"/>'
            )
    return f"<g><title>{escape(bar.title)}</title>{''.join(drawn)}</g>" if drawn else ""
