"""What the exit status means."""

from __future__ import annotations

FAILED = 1
"""The reason is on stderr."""
WRONG_USE = 2
FOUND_WRONG = 3
"""It was looked for what should not be, and found: `verify`, `doctor`."""
NOT_FOUND = 4
"""There is no such step, function, record or call."""
INTERRUPTED = 130
