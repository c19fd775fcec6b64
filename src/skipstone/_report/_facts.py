"""Gather the content of a report from a catalogue."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from .._books._runs import Run
from .._books._stats import Stats, total
from .._catalogue import Catalogue, FailureGroup, FunctionSummary, Growth, StepName, StepSummary, Totals
from .._errors import StoreError

MOST_RUNS = 40
"""How many runs are shown: the latest ones."""


class StepRun(NamedTuple):
    """A run, and the title of its step."""

    title: str
    run: Run


def latest(runs: Iterable[StepRun]) -> list[StepRun]:
    """Return the latest runs, the newest last."""
    return sorted(runs, key=lambda each: each.run.started_at_seconds)[-MOST_RUNS:]


class StepReport(NamedTuple):
    """The part of a report about one step."""

    summary: StepSummary
    functions: list[FunctionSummary]
    growth: Growth
    failures: list[FailureGroup]
    runs: list[Run]
    """The step's runs, the newest last."""

    @property
    def stats(self) -> Stats:
        """The sums of what all known runs have done."""
        return total(run.stats for run in self.runs)

    @property
    def title(self) -> str:
        """Index and step."""
        return self.summary.name.title


class Report(NamedTuple):
    """A report about a place."""

    title: str
    place: str
    made_at: float
    steps: list[StepReport]

    @property
    def totals(self) -> Totals:
        """The totals of all steps."""
        totals = Totals()
        for step in self.steps:
            totals = totals.plus(step.summary.totals)
        return totals

    @property
    def runs(self) -> list[StepRun]:
        """The latest runs of all steps, the newest last."""
        return latest(StepRun(step.title, run) for step in self.steps for run in step.runs)

    @property
    def stats(self) -> Stats:
        """The sums of what all known runs have done."""
        return total(run.stats for step in self.steps for run in step.runs)


def gathered(catalogue: Catalogue, names: Iterable[StepName], title: str) -> Report:
    """Make a report from a catalogue; for a step that cannot be read, it has the reason."""
    return Report(title, catalogue.shown_place, time.time(), [_step(catalogue, name) for name in names])


def _step(catalogue: Catalogue, name: StepName) -> StepReport:
    asked = catalogue.step(name)
    try:
        return StepReport(
            asked.summary(),
            asked.functions(),
            asked.spread().growth,
            asked.failure_groups(),
            asked.recorded_runs(),
        )
    except StoreError as error:
        return StepReport(StepSummary(name, 0, Totals(), str(error)), [], Growth(1.0, []), [], [])
    finally:
        asked.close()
