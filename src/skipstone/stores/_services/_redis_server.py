"""Send commands to a Redis server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .._remote import Remote

OTHER_TYPE: Any = object()
"""The answer to a command that does not fit the type of the value."""

_SETTINGS: Any = {"socket_timeout": 30, "socket_connect_timeout": 10, "socket_keepalive": True}


class Server:
    """Connections to a server, pooled by redis-py, which opens new ones after a fork."""

    def __init__(self, url: str, remote: Remote) -> None:
        """Use a server; connections are opened when needed. Settings in the URL override `_SETTINGS`.

        Raises:
            ValueError: redis-py does not understand the URL.
        """
        self.remote = remote
        # Without redis-py's own retries, which do not say that a command may already have been executed.
        self._client: Any = redis.Redis.from_url(url, **_SETTINGS, retry=Retry(NoBackoff(), 0))

    def ask(self, *command: Any) -> Any:
        """Return the answer to a command, which may be executed twice.

        Raises:
            StoreUnavailableError: There was no answer, or it was an error.
        """
        return self.remote.answer(lambda _: self.run(*command))

    def ask_together(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the answers to commands that are sent together, each of which may be executed twice; see `ask`."""
        return self.remote.answer(lambda _: self.pipeline(commands))

    def run(self, *command: Any) -> Any:
        """Return the answer to a command, which is sent once.

        Raises:
            redis.RedisError: There was no answer, or it was an error.
        """
        try:
            return self._client.execute_command(*command)
        except redis.ResponseError as error:
            return _checked(error)

    def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return the answers to commands that are sent together and executed one by one; see `run`."""
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return [*map(_checked, pipeline.execute(raise_on_error=False))]

    def close(self) -> None:
        """Close connections; they are opened again when needed."""
        self._client.close()


def _checked(answer: Any) -> Any:
    if not isinstance(answer, Exception):
        return answer
    if str(answer).startswith("WRONGTYPE"):
        return OTHER_TYPE
    raise answer
