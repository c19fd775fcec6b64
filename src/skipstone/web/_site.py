"""What all pages share: the place, its steps, which are kept open, and the templates."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from .._catalogue import Catalogue, StepCatalogue, StepName
from .._units import count_text, duration_text, moment_text, number_text, plain_text, size_text

T = TypeVar("T")

_MOST_OPEN = 100  # steps, each of which has some files open
_MOST_KEPT = 500


class _Kept(NamedTuple):
    """An answer, and the state of the step when it was given."""

    state: object
    answer: Any


class Site:
    """A place for pages to show. Used by many threads."""

    def __init__(self, catalogue: Catalogue, form_token: str) -> None:
        self.catalogue = catalogue
        self.form_token = form_token
        self.is_over: Callable[[], bool] = lambda: False
        """Whether the server is about to stop."""
        self._steps: dict[StepName, StepCatalogue] = {}
        self._kept: dict[Hashable, _Kept] = {}
        self._lock = threading.Lock()
        self._templates = Environment(
            loader=PackageLoader("skipstone.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            size=size_text,
            duration=duration_text,
            moment=moment_text,
            plain=plain_text,
            svg=Markup,
            noted=number_text,
        )

    def close(self) -> None:
        """Close files and connections."""
        for step in self._steps.values():
            step.close()

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Return a page."""
        return HTMLResponse(self.rendered(template, **values), status)

    def rendered(self, template: str, **values: Any) -> str:
        """Return the HTML of a template filled with values."""
        return self._templates.get_template(template).render(
            place=self.catalogue.shown_place, form_token=self.form_token, link=link, count=count_text, **values
        )

    def steps(self) -> Iterator[StepCatalogue]:
        """Yield all present steps. Use each before asking for the next one, which may close it."""
        return map(self._opened, self.catalogue.steps())

    def step(self, fields: Mapping[str, str]) -> StepCatalogue:
        """Return the step that the fields of an address or a form name.

        Raises:
            HTTPException: There is no such step.
        """
        index, step = fields.get("index", ""), fields.get("step", "")
        for name in self.catalogue.steps():
            if (name.index_name, name.step) == (index, step):
                return self._opened(name)
        raise HTTPException(
            404, f"There is no step “{step}” of an index “{index}” in {self.catalogue.shown_place}."
        )

    def _opened(self, name: StepName) -> StepCatalogue:
        with self._lock:
            step = self._steps.pop(name, None) or self.catalogue.step(name)
            self._steps[name] = step  # moved to the end, since the first one is closed when there are too many
            if len(self._steps) > _MOST_OPEN:
                self._steps.pop(next(iter(self._steps))).close()
            return step

    def kept(self, step: StepCatalogue, what: Hashable, ask: Callable[[], T]) -> T:
        """Return an answer from before if the step has not changed since; otherwise ask again."""
        before = self._kept.get((step.name, what))
        if before is not None and before.state == step.state():
            return before.answer  # type: ignore[no-any-return]
        state = step.state()
        answer = ask()
        with self._lock:
            self._kept[step.name, what] = _Kept(step.state() if state is None else state, answer)
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return answer


def link(path: str, step: StepName | None = None, **fields: object) -> str:
    """Return an address within the site, leaving out fields without a value."""
    named = {"index": step.index_name, "step": step.step} if step is not None else {}
    given = {name: value for name, value in {**named, **fields}.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path
