"""Where bars of a chart begin and end: at numbers that people read easily."""

from __future__ import annotations

import math

_STEPS = (1, 2, 5)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDTHS = (
    *(1, 2, 5, 10, 30),
    *(each * _MINUTE for each in (1, 2, 5, 10, 30)),
    *(each * _HOUR for each in (1, 3, 6, 12)),
    *(each * _DAY for each in (1, 7, 28)),
)
_LEAST = 1e-6


def edges_between(least: float, greatest: float) -> list[float]:
    """Return 1, 2, 5, 10, 20, … times a power of ten, from below the least value to above the greatest.

    What is below a millionth comes into a first bar that begins at 0.
    """
    exponent = math.floor(math.log10(max(least, _LEAST)))
    edges = [0.0] if least < _LEAST else []
    while True:
        for step in _STEPS:
            # Not step * 10.0**exponent, which is 0.30000000000000004 here and there.
            edges.append(float(f"{step}e{exponent}"))
            if edges[-1] > greatest:
                start = max((number for number, edge in enumerate(edges) if edge <= least), default=0)
                return edges[start:]
        exponent += 1


def width_for(span_seconds: float, most_buckets: int) -> float:
    """Return the shortest of the usual spans of time, a number of which covers this one."""
    for width in _WIDTHS:
        if span_seconds < width * (most_buckets - 1):
            return float(width)
    return float(_WIDTHS[-1] * math.ceil(span_seconds / _WIDTHS[-1] / (most_buckets - 1)))
