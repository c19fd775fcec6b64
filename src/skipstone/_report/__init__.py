"""A report: what a place holds, in one file to attach to a pull request or an experiment's log."""

from ._facts import Report, StepReport, gathered
from ._html import as_html
from ._markdown import as_markdown

__all__ = ["Report", "StepReport", "as_html", "as_markdown", "gathered"]
