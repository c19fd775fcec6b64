"""Where bars of a chart begin and end: at numbers that people read easily."""

from __future__ import annotations

import math

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDTHS = (
    *(1, 2, 5, 10, 30),
    *(each * _MINUTE for each in (1, 2, 5, 10, 30)),
    *(each * _HOUR for each in (1, 3, 6, 12)),
    *(each * _DAY for each in (1, 7, 28)),
)
# Not step * 10.0**exponent, which is 0.30000000000000004 here and there.
EDGES = (0.0, *(float(f"{step}e{exponent}") for exponent in range(-6, 18) for step in (1, 2, 5)))
"""Where bars begin, of seconds or bytes, whatever there is: at 0, then at 1, 2, 5, 10, 20, … millionths, up to what nobody has."""


def width_for(span_seconds: float, most_buckets: int) -> float:
    """Return the shortest of the usual spans of time, a number of which covers this one."""
    for width in _WIDTHS:
        if span_seconds < width * (most_buckets - 1):
            return float(width)
    return float(_WIDTHS[-1] * math.ceil(span_seconds / _WIDTHS[-1] / (most_buckets - 1)))
