"""What a place holds, for people: the command line, the page and the report ask it. Only reads, and unpickles nothing."""

from ._answers import (
    Bin,
    Bucket,
    CodeSummary,
    FailedCall,
    FailureGroup,
    FunctionSummary,
    Growth,
    Page,
    RecordQuery,
    RunSummary,
    Space,
    StepName,
    StepSummary,
    Totals,
)
from ._place import Catalogue
from ._step import StepCatalogue

__all__ = [
    "Bin",
    "Bucket",
    "Catalogue",
    "CodeSummary",
    "FailedCall",
    "FailureGroup",
    "FunctionSummary",
    "Growth",
    "Page",
    "RecordQuery",
    "RunSummary",
    "Space",
    "StepCatalogue",
    "StepName",
    "StepSummary",
    "Totals",
]
