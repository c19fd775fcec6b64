"""URLs of stores: what of them may be shown, logged and pickled."""

from __future__ import annotations

import os
import re

HIDDEN = "***"

_PASSWORD = re.compile(r"(?P<before>\w[\w+.-]*://[^\s:/?#@]*:)(?P<secret>\S+)(?=@)")  # up to the last @
_SETTING = re.compile(
    r"(?P<before>[?&][^=&\s]*(?:pass|secret|token|key|sig|credential)[^=&\s]*=)(?P<secret>[^&\s]+)", re.IGNORECASE
)
_PATTERNS = (_PASSWORD, _SETTING)

_TIER_ENDS = re.compile(r",\s*(?=local\b|\w[\w+.-]*://)")  # a comma between hosts is none

_known: dict[str, str] = {}


def shown(text: str) -> str:
    """Return a URL, or a text with URLs in it, with `***` for passwords and the like."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return text


def tiers_in(text: str) -> list[str]:
    """Return the stores that a text names, with commas between them."""
    return [each.strip() for each in _TIER_ENDS.split(text)]


def secrets_in(url: str) -> set[str]:
    """Return the passwords and the like of a URL, as they are written there and as they are meant."""
    from urllib.parse import unquote

    written = {found["secret"] for pattern in _PATTERNS for found in pattern.finditer(url)} - {HIDDEN}
    return written | set(map(unquote, written))


def sendable(url: str) -> str:
    """Return what of a URL may be pickled: all but its secrets, unless it goes straight to a process begun now.

    `received` finds the secrets in the process that unpickles it, as far as it has them.
    """
    from multiprocessing.context import get_spawning_popen

    return url if get_spawning_popen() is not None else shown(url)


def received(url: str) -> str:
    """Return a URL with the secrets that `sendable` left out: the first that this process knows of these.

    A URL that was used in it before, or in the process that it was forked from; one in `SKIPSTONE_STORE`; none: the
    client looks for a password where it always does.
    """
    if HIDDEN not in url:
        _known[shown(url)] = url
        return url
    here = tiers_in(os.environ.get("SKIPSTONE_STORE", ""))
    return _known.get(url) or next((each for each in here if shown(each) == url), url.replace(f":{HIDDEN}@", "@"))


def known_urls() -> list[str]:
    """Return the URLs with secrets that this process uses: for processes of its own, and nobody else."""
    return [url for without, url in _known.items() if without != url]
