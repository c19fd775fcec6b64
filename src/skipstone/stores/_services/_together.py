"""Questions that threads ask at the same time, answered with one request.

Some requests may be under way at once; whoever comes meanwhile waits. Where one ends, one of those who wait makes a
request for all of them. So a thread alone waits for nobody, and many threads need few connections.
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
    """A question that waits until it is answered, or its asker is to make the next request."""

    __slots__ = ("answers", "error", "leads", "question", "waits")

    def __init__(self, question: _Q) -> None:
        self.question = question
        self.answers: list[_A] = []
        self.error: Exception | None = None
        self.leads = False
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
        """Wait until a question is answered, or its asker is to make a request."""
        try:
            mine.waits.acquire()
        except BaseException:  # nobody waits for the answer any more
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                elif mine.leads:
                    self._pass_on()
            raise
        return mine.leads

    def _request(self, question: _Q) -> _A:
        """Make a request for a question and for those that wait; then it is the next one's turn."""
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
        except BaseException:  # Ctrl-C is meant for this thread alone
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
    """Return what keeps records that threads put at the same time; of those of one key, the first."""

    def put_all(records: list[Record]) -> list[bool]:
        first = {record.key: record for record in reversed(records)}
        kept = put_many([*first.values()])
        return [record.key in kept and first[record.key] is record for record in records]

    return Together(put_all)
