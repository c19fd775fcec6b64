"""Questions that threads ask at the same time, answered with one request.

Some requests may be under way at once; whoever comes meanwhile waits. Where one ends, one of those who wait makes a
request for all of them. So a thread alone waits for nobody, and many threads need few connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ._forks import begin_in_children
from ._portions import MOST_IN_REQUEST

_Q = TypeVar("_Q")
_A = TypeVar("_A")

_AT_ONCE = 8


class _Asked(Generic[_Q, _A]):
    """A question, until it is answered or its asker is to make the next request: then the asker is woken."""

    __slots__ = ("answers", "error", "leads", "question", "waits")

    def __init__(self, question: _Q, *, leads: bool) -> None:
        self.question = question
        self.answers: list[_A] = []
        self.error: Exception | None = None
        self.leads = leads
        self.waits = threading.Lock()
        self.waits.acquire()


class Together(Generic[_Q, _A]):
    """Answers single questions by asking many at once."""

    def __init__(self, answer: Callable[[list[_Q]], Sequence[_A]], *, at_once: int = _AT_ONCE) -> None:
        """Answer questions.

        Args:
            answer: Makes a request: the answers to questions, in their order.
            at_once: How many requests may be under way.
        """
        self._answer = answer
        self._at_once = at_once
        begin_in_children(self)

    def begin(self) -> None:
        """Begin as in a new process."""
        # Reentrant: where a generator is dropped while it is held, what it leaves is tidied up then and there.
        self._lock = threading.RLock()
        self._waiting: list[_Asked[_Q, _A]] = []
        self._under_way = 0

    def ask(self, question: _Q) -> _A:
        """Return the answer to a question.

        Raises:
            Exception: What the request raised that was made for it; those who shared it get the same.
        """
        with self._lock:
            mine: _Asked[_Q, _A] = _Asked(question, leads=self._under_way < self._at_once)
            if mine.leads:
                self._under_way += 1
            else:
                self._waiting.append(mine)
        try:
            if not mine.leads:
                mine.waits.acquire()
            if mine.leads:
                self._request(mine)
        finally:
            self._pass_on(mine)
        if mine.error is not None:
            raise mine.error
        return mine.answers[0]

    def _request(self, mine: _Asked[_Q, _A]) -> None:
        with self._lock:
            asked = [mine, *self._waiting[: MOST_IN_REQUEST - 1]]
            del self._waiting[: MOST_IN_REQUEST - 1]
        try:
            answers = self._answer([each.question for each in asked])
            for each, answer in zip(asked, answers, strict=True):
                each.answers.append(answer)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked
            for each in asked:
                each.error = error
        except BaseException:  # Ctrl-C is meant for this thread alone
            with self._lock:
                self._waiting[:0] = asked[1:]
            raise
        for each in asked[1:]:
            each.waits.release()

    def _pass_on(self, mine: _Asked[_Q, _A]) -> None:
        """Let the next one make a request, if it was the turn of this one; nobody answers it any more."""
        with self._lock:
            if not mine.leads:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            elif self._waiting:
                following = self._waiting.pop(0)
                following.leads = True
                following.waits.release()
            else:
                self._under_way -= 1
