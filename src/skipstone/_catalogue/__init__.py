"""Describe what a place holds, for the command line, the page and the report. It only reads, and unpickles nothing."""

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
    Spread,
    StepName,
    StepSummary,
    Totals,
)
from ._place import Catalogue
from ._step import StepCatalogue
from ._values import Value
from ._verify import Damage, Orphan, Verification

__all__ = [
    "Bin",
    "Bucket",
    "Catalogue",
    "CodeSummary",
    "Damage",
    "FailedCall",
    "FailureGroup",
    "FunctionSummary",
    "Growth",
    "Orphan",
    "Page",
    "RecordQuery",
    "RunSummary",
    "Space",
    "Spread",
    "StepCatalogue",
    "StepName",
    "StepSummary",
    "Totals",
    "Value",
    "Verification",
]
