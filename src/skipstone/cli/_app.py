"""The commands, and what becomes of their errors."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from .._errors import SkipstoneError
from . import _clear, _doctor, _gc, _look, _report, _runs, _show, _transfers, _ui, _verify
from ._output import say, warn
from ._status import FAILED, INTERRUPTED
from ._where import environment_read

app = typer.Typer(
    name="skipstone",
    help="See and tend what skipstone has stored.\n\nThe store is that of the options, else of SKIPSTONE_* in the "
    "environment, else of \\[tool.skipstone] in pyproject.toml or of skipstone.toml, here or above, else ./artifacts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (_look, _show, _runs, _ui, _report, _verify, _doctor, _clear, _gc, _transfers):
    _module.add_to(app)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        say(f"skipstone {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status."""
    try:
        with warnings.catch_warnings(), environment_read():
            warnings.simplefilter("ignore")  # what they would tell, the commands tell
            status = app(args=arguments, standalone_mode=True)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else FAILED
    except SkipstoneError as error:
        warn(str(error))
        return FAILED
    except BrokenPipeError:  # `skipstone records | head`
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return int(status or 0)
