"""Choose where the bars of a chart begin and end: at round numbers."""

from __future__ import annotations

import math

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDTHS = (
    *(1, 2, 5, 10, 30),
    *(each * _MINUTE for each in (1, 2, 5, 10, 30)),
    *(each * _HOUR for each in (1, 3, 6, 12)),
    *(each * _DAY for each in (1, 7, 28)),
)
# Not step * 10.0**exponent, which is not exact.
EDGES = (0.0, *(float(f"{step}e{exponent}") for exponent in range(-6, 18) for step in (1, 2, 5)))
"""Where bars of seconds or bytes begin: at 0, then at 1, 2, 5, 10, 20, … millionths, up to more than anybody has."""


def width_for(span_seconds: float, most_buckets: int) -> float:
    """Return the shortest usual width, such as an hour, of which so many buckets cover a span of time."""
    for width in _WIDTHS:
        if span_seconds < width * (most_buckets - 1):
            return float(width)
    return float(_WIDTHS[-1] * math.ceil(span_seconds / _WIDTHS[-1] / (most_buckets - 1)))
