"""Format values for people: sizes, durations, moments, and texts that must not control a terminal."""

from __future__ import annotations

import time

_BYTES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_STEP = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_EXACT_BELOW = 10


def size_text(size_bytes: float) -> str:
    """Return a size such as `1.2 MB`."""
    amount, unit = float(size_bytes), 0
    while amount >= _STEP - 0.5 and unit < len(_BYTES) - 1:
        amount, unit = amount / _STEP, unit + 1
    if unit == 0:
        return f"{amount:.0f} {'byte' if amount == 1 else 'bytes'}"
    return f"{amount:.1f} {_BYTES[unit]}" if amount < _EXACT_BELOW else f"{amount:.0f} {_BYTES[unit]}"


def duration_text(seconds: float) -> str:
    """Return a duration such as `3 h 12 min`, of one or two units."""
    if seconds < 1:
        for unit, factor in (("ms", 1e3), ("µs", 1e6)):
            if seconds * factor >= 1:
                return f"{seconds * factor:.0f} {unit}"
        return "0 s" if seconds == 0 else f"{seconds * 1e6:.1f} µs"
    if seconds < _MINUTE:
        return f"{seconds:.1f}".removesuffix(".0") + " s" if seconds < _EXACT_BELOW else f"{seconds:.0f} s"
    unit, length, lesser, part = "d", _DAY, "h", _HOUR
    if seconds < _HOUR:
        unit, length, lesser, part = "min", _MINUTE, "s", 1
    elif seconds < 2 * _DAY:
        unit, length, lesser, part = "h", _HOUR, "min", _MINUTE
    whole, rest = divmod(int(seconds), length)
    return f"{whole:,} {unit} {rest // part} {lesser}" if rest // part else f"{whole:,} {unit}"


def moment_text(unix_seconds: float) -> str:
    """Return a moment in the local time zone, to the second; empty for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_seconds)) if unix_seconds else ""


def count_text(count: int, one: str, more: str = "") -> str:
    """Return a number and what is counted: `1 record`, `1,200 records`."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def number_text(value: float) -> str:
    """Return a number as text: whole, with two decimals, or, if it is below 1, with two significant digits."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.2g}"


def function_text(function: str, version: str) -> str:
    """Return the name of a function, with its version if it has one."""
    return f"{function} version {version}" if version else function


def plain_text(text: str) -> str:
    """Return a text with everything escaped that could control a terminal, such as line ends and escape sequences."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def plain_lines(text: str) -> str:
    """Return a text of several lines with everything else escaped that could control a terminal."""
    return "\n".join(plain_text(line.replace("\t", "    ")) for line in text.splitlines())
