"""Guard requests to a service: translate its errors, and do not wait for it while it is away."""

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
    """Keeps track of whether the service behind a store answers.

    After a failed request the service is left alone for a while, longer after each failure. Meanwhile requests fail
    at once, so that a run goes on at its own speed. Short outages are bridged by `answer`.
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
            errors: All errors of the client. They become StoreUnavailableError.
            refusals: Those of them that mean that the service is there, but refuses this one request.
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
        """Guard a request made in a `with` block.

        Raises:
            StoreUnavailableError: The request failed; or the service is away, and the block was not entered.
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
            # On one line, and only up to an empty line, after which some clients print their own data structures.
            text = " ".join(f"{type(error).__name__}: {error}".partition("\n\n")[0].split())
            reason = f"the store at {self.shown_url} does not work: {self.without_secrets(text)}"
            if not isinstance(error, self._refusals):
                self._is_away(reason)
            # If the client's words hold a secret, they must not be the cause either, since a traceback shows them.
            raise StoreUnavailableError(reason) from (error if self.without_secrets(text) == text else None)
        self._pause_seconds = 0.0

    def answer(self, ask: Callable[[bool], _T]) -> _T:
        """Make a request, and repeat it for some seconds if it fails, unless the service was already away.

        Args:
            ask: Makes the request. Its argument is whether this is a repetition: an earlier attempt may have had its
                effect although it failed.

        Raises:
            StoreUnavailableError: See `asked`.
        """
        with self.asked():
            until = time.monotonic() + (0 if self._pause_seconds else _PATIENCE_SECONDS)
            pause_seconds, is_again = 0.0, False  # no first pause: perhaps only an old connection was dead
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
        """Return a text with `***` in place of the URL's secrets, and of anything that looks like a secret."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return shown(text)
