"""A Redis server as a store sees it: commands and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .._remote import Remote

OTHER_TYPE: Any = object()
"""The answer to a command that does not fit the type of the value that is there."""

_SETTINGS: Any = {"socket_timeout": 30, "socket_connect_timeout": 10, "socket_keepalive": True}


class Server:
    """Connections to a server, pooled by redis-py, which opens them anew after a fork."""

    def __init__(self, url: str, remote: Remote) -> None:
        """Connect when it is needed; what a URL sets goes before what is set here.

        Raises:
            ValueError: redis-py does not understand the URL.
        """
        self.remote = remote
        # Without redis-py's own retries: it would not tell that a command may have been done already.
        self._client: Any = redis.Redis.from_url(url, **_SETTINGS, retry=Retry(NoBackoff(), 0))

    def ask(self, *command: Any) -> Any:
        """Return the answer to a command that may be given twice.

        Raises:
            StoreUnavailableError: There is none, or it is an error.
        """
        return self.remote.answer(lambda _: self.run(*command))

    def ask_together(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the answers to commands that may be given twice, sent at once; see `ask`."""
        return self.remote.answer(lambda _: self.pipeline(commands))

    def run(self, *command: Any) -> Any:
        """Return the answer to a command.

        Raises:
            redis.RedisError: There is none, or it is an error.
        """
        try:
            return self._client.execute_command(*command)
        except redis.ResponseError as error:
            return _checked(error)

    def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the answers to commands that are sent at once, and done one by one; see `run`."""
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return [*map(_checked, pipeline.execute(raise_on_error=False))]

    def close(self) -> None:
        """Let go of connections; they are opened again when they are needed."""
        self._client.close()


def _checked(answer: Any) -> Any:
    if not isinstance(answer, Exception):
        return answer
    if str(answer).startswith("WRONGTYPE"):
        return OTHER_TYPE
    raise answer
