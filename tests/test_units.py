"""Sizes and durations as people read them."""

import pytest

from skipstone._units import duration_text, size_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.000_000_25, "0.2 µs"),
        (0.000_012, "12 µs"),
        (0.25, "250 ms"),
        (1, "1 s"),
        (1.04, "1 s"),
        (1.06, "1.1 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (3 * 3600 + 12 * 60 + 59, "3 h 12 min"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 d"),
        (1500 * 86400 + 3600, "1,500 d 1 h"),
    ],
)
def test_durations(seconds, text):
    """A duration has one or two units, and no more digits than one needs."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9940, "9.9 kB"),
        (10_000, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (3.2e12, "3.2 TB"),
        (5e18, "5000 PB"),
    ],
)
def test_sizes(size_bytes, text):
    """A size has a unit that leaves one to three digits before the point."""
    assert size_text(size_bytes) == text
