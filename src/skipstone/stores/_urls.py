"""URLs of stores, and which parts of them may be shown, logged and pickled."""

from __future__ import annotations

import os
import re

HIDDEN = "***"

_PASSWORD = re.compile(r"(?P<before>\w[\w+.-]*://[^\s:/?#@]*:)(?P<secret>\S+)(?=@)")  # up to the last @
_SETTING = re.compile(
    r"(?P<before>[?&][^=&\s]*(?:pass|secret|token|key|sig|credential)[^=&\s]*=)(?P<secret>[^&\s]+)", re.IGNORECASE
)
_PATTERNS = (_PASSWORD, _SETTING)

_TIER_ENDS = re.compile(r",\s*(?=local\b|\w[\w+.-]*://)")  # a comma between hosts ends no tier

_known: dict[str, str] = {}


def shown(text: str) -> str:
    """Return a URL, or a text with URLs in it, with `***` for passwords and the like."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return text


def tiers_in(text: str) -> list[str]:
    """Return the stores that a comma-separated text names."""
    return [each.strip() for each in _TIER_ENDS.split(text)]


def secrets_in(url: str) -> set[str]:
    """Return the passwords and other secrets of a URL, as written there and percent-decoded."""
    from urllib.parse import unquote

    written = {found["secret"] for pattern in _PATTERNS for found in pattern.finditer(url)} - {HIDDEN}
    return written | set(map(unquote, written))


def sendable(url: str) -> str:
    """Return a URL as it may be pickled: without its secrets, unless it goes straight to a process being started.

    `received` puts the secrets back in the process that unpickles it, if that process knows them.
    """
    from multiprocessing.context import get_spawning_popen

    return url if get_spawning_popen() is not None else shown(url)


def received(url: str) -> str:
    """Return a URL with the secrets that `sendable` left out, as far as this process knows them.

    They come from the same URL used earlier in this process or in the one that it was forked from, or else from
    `SKIPSTONE_STORE`. Without either, the URL has no password, and the client looks for one in its usual places.
    """
    if HIDDEN not in url:
        _known[shown(url)] = url
        return url
    here = tiers_in(os.environ.get("SKIPSTONE_STORE", ""))
    return _known.get(url) or next((each for each in here if shown(each) == url), url.replace(f":{HIDDEN}@", "@"))


def known_urls() -> list[str]:
    """Return the URLs with secrets that this process uses. They are for its own child processes, and nobody else."""
    return [url for without, url in _known.items() if without != url]
