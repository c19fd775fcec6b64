"""A service that may stay away: its errors are translated, and while it is away nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from .._errors import StoreError, StoreUnavailableError
from ._urls import HIDDEN, secrets_in, shown

_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0

_PATIENCE_SECONDS = 5.0  # enough for most restarts
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.02, 1.0

_T = TypeVar("_T")


class Remote:
    """What a store knows of the service behind it: whether it answers.

    When a request fails, the service is left alone for a while, which grows from failure to failure; requests fail
    at once meanwhile, so that a run goes on at its own speed. Clients bridge short troubles by themselves.
    """

    def __init__(
        self,
        url: str,
        errors: tuple[type[BaseException], ...],
        refusals: tuple[type[BaseException], ...] = (),
    ) -> None:
        """Watch a service.

        Args:
            url: For messages, which show `***` in place of a password.
            errors: Of the client, all of them. They become StoreUnavailableError.
            refusals: Those of them that say that the service answers, and does not do this one thing.
        """
        self.shown_url = shown(url)
        self._secrets = secrets_in(url)
        self._errors = errors
        self._refusals = refusals
        self._pause_seconds = 0.0
        self._away_until = 0.0
        self._reason = ""

    @contextmanager
    def asked(self) -> Generator[None]:
        """Surround a request.

        Raises:
            StoreUnavailableError: It failed, or the service is away: then, before the request is made.
        """
        left_seconds = self._away_until - time.monotonic()
        if left_seconds > 0:
            message = f"{self._reason}; it is asked again in {left_seconds:.0f} s"
            raise StoreUnavailableError(message)
        try:
            yield
        except StoreError:
            raise
        except self._errors as error:
            # One line, without what some clients tell of their own structures behind an empty one.
            text = " ".join(f"{type(error).__name__}: {error}".partition("\n\n")[0].split())
            reason = f"the store at {self.shown_url} does not work: {self.without_secrets(text)}"
            if not isinstance(error, self._refusals):
                self._is_away(reason)
            # A traceback would show the client's own words.
            raise StoreUnavailableError(reason) from (error if self.without_secrets(text) == text else None)
        self._pause_seconds = 0.0

    def answer(self, ask: Callable[[bool], _T]) -> _T:
        """Make a request, and make it again where it fails: for some seconds, unless the service was away already.

        Args:
            ask: Makes the request. It is told whether it was made before: then it may have been done all the same.

        Raises:
            StoreUnavailableError: See `asked`.
        """
        with self.asked():
            until = time.monotonic() + (0 if self._pause_seconds else _PATIENCE_SECONDS)
            pause_seconds, is_again = 0.0, False  # a connection may have been dead for long: another one will do
            while True:
                try:
                    return ask(is_again)
                except self._errors as error:
                    if isinstance(error, self._refusals) or time.monotonic() + pause_seconds > until:
                        raise
                time.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds or _FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
                is_again = True

    def _is_away(self, reason: str) -> None:
        self._pause_seconds = min(2 * self._pause_seconds or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._reason = reason
        self._away_until = time.monotonic() + self._pause_seconds

    def without_secrets(self, text: str) -> str:
        """Return a text with `***` for what is secret in the URL, or looks like it."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return shown(text)
