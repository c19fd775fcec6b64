"""Answer questions that several threads ask at the same time with one request.

A limited number of requests may be under way; threads that come meanwhile wait. When a request ends, one of the waiting
threads makes a request for all of them. So a thread alone never waits, and many threads need few connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..._record import Key, Record
from .._forks import begin_in_children
from ._portions import MOST_IN_REQUEST

_Q = TypeVar("_Q")
_A = TypeVar("_A")

_AT_ONCE = 8


class _Asked(Generic[_Q, _A]):
    """A waiting question. The wait ends when it is answered, or when its asker is to make the next request."""

    __slots__ = ("answers", "error", "leads", "question", "waits")

    def __init__(self, question: _Q) -> None:
        self.question = question
        self.answers: list[_A] = []
        self.error: Exception | None = None
        self.leads = False
        self.waits = threading.Lock()
        self.waits.acquire()


class Together(Generic[_Q, _A]):
    """Answers single questions by sending many in one request."""

    def __init__(self, answer: Callable[[list[_Q]], Sequence[_A]], *, at_once: int = _AT_ONCE) -> None:
        """Start without questions.

        Args:
            answer: Makes a request; returns the answers to the given questions, in their order.
            at_once: How many requests may be under way at the same time.
        """
        self._answer = answer
        self._at_once = at_once
        begin_in_children(self)

    def begin(self) -> None:
        """Start without questions, as a new process does."""
        # Reentrant: if a generator is collected while this thread holds the lock, its cleanup runs right there.
        self._lock = threading.RLock()
        self._waiting: list[_Asked[_Q, _A]] = []
        self._under_way = 0

    def ask(self, question: _Q) -> _A:
        """Return the answer to a question.

        Raises:
            Exception: What the request with this question raised; all who shared the request get the same.
        """
        mine: _Asked[_Q, _A] | None = None
        with self._lock:
            if self._under_way < self._at_once:
                self._under_way += 1
            else:
                mine = _Asked(question)
                self._waiting.append(mine)
        if mine is None or self._is_to_lead(mine):
            return self._request(question)
        if mine.error is not None:
            raise mine.error
        return mine.answers[0]

    def _is_to_lead(self, mine: _Asked[_Q, _A]) -> bool:
        """Wait for the answer to a question; return True if its asker is to make a request instead."""
        try:
            mine.waits.acquire()
        except BaseException:  # Ctrl-C: this thread no longer waits for the answer
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                elif mine.leads:
                    self._pass_on()
            raise
        return mine.leads

    def _request(self, question: _Q) -> _A:
        """Make a request for a question and all that wait; then let the next waiting thread make one."""
        others: list[_Asked[_Q, _A]] = []
        try:
            if self._waiting:
                with self._lock:
                    others = self._waiting[: MOST_IN_REQUEST - 1]
                    del self._waiting[: MOST_IN_REQUEST - 1]
            mine, *answers = self._answer([question, *(each.question for each in others)])
            for each, answer in zip(others, answers, strict=True):
                each.answers.append(answer)
        except Exception as error:
            for each in others:
                each.error = error
            raise
        except BaseException:  # Ctrl-C concerns this thread alone: the others wait on
            with self._lock:
                self._waiting[:0] = others
                others = []
            raise
        finally:
            for each in others:
                each.waits.release()
            with self._lock:
                self._pass_on()
        return mine

    def _pass_on(self) -> None:
        if self._waiting:
            following = self._waiting.pop(0)
            following.leads = True
            following.waits.release()
        else:
            self._under_way -= 1


def puts_together(put_many: Callable[[list[Record]], set[Key]]) -> Together[Record, bool]:
    """Return a `Together` that saves records which threads put at the same time; of one key, only the first."""

    def put_all(records: list[Record]) -> list[bool]:
        first = {record.key: record for record in reversed(records)}
        kept = put_many([*first.values()])
        return [record.key in kept and first[record.key] is record for record in records]

    return Together(put_all)
