"""The exit statuses."""

from __future__ import annotations

FAILED = 1
"""The reason is on stderr."""
WRONG_USE = 2
FOUND_WRONG = 3
"""`verify` or `doctor` found something wrong, or a transfer left something out."""
NOT_FOUND = 4
"""There is no such step, function, record or call."""
INTERRUPTED = 130
