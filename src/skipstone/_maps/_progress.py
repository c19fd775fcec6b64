"""Show how far a map is: a bar on a terminal or in a notebook, or else a line in the log now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

from .. import _log
from ._items import MapSummary

_LOG_EVERY_SECONDS = 30.0


class Progress:
    """Counts calls that were done before, ran now, or failed, and shows the counts."""

    def __init__(self, name: str, total: int | None, *, shown: bool | None) -> None:
        """Show a bar if `shown` is True, or if it is None and standard error is a terminal or this is a notebook."""
        self.before: int = 0
        self.now: int = 0
        self.failed: int = 0
        self.total: int | None = total
        self._name = name
        self._log_at = time.monotonic() + _LOG_EVERY_SECONDS
        self._bar: Any = None
        if _is_watched() if shown is None else shown and _can_be_seen():
            from tqdm.auto import tqdm

            # The rate is that of calls that run, not counting those that were done before.
            self._bar = tqdm(total=total, desc=name.rpartition(".")[2], smoothing=0, dynamic_ncols=True)

    def found(self, count: int) -> None:
        """Count calls that were done before."""
        self.before += count
        if self._bar is not None:
            self._bar.initial += count
            self._advance(count)

    def ran(self, returned: int, *, failed: int) -> None:
        """Count calls that ran."""
        self.now += returned
        self.failed += failed
        if self._bar is not None:
            self._advance(returned + failed)
        elif time.monotonic() > self._log_at:
            self._log_at = time.monotonic() + _LOG_EVERY_SECONDS
            _log.info("%s: %s", self._name, self)

    def _advance(self, count: int) -> None:
        self._bar.set_postfix_str(f"{self.before:,} done before, {self.failed:,} failed", refresh=False)
        self._bar.update(count)

    def close(self) -> None:
        """Finish the bar, leaving it on the screen."""
        if self._bar is not None:
            self._bar.close()

    def summary(self) -> MapSummary:
        """Return the counts."""
        return MapSummary(self.before, self.now, self.failed)

    def __str__(self) -> str:
        """Return the counts in one line."""
        of = "" if self.total is None else f" of {self.total:,}"
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.before + self.now:,}{of} done ({self.before:,} before){failed}"


def _is_watched() -> bool:
    return _is_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _can_be_seen() -> bool:
    return _is_notebook() or sys.stderr is not None  # None if it was closed, as in a daemon


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # libraries import it outside notebooks, too
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
