"""Put the commands together, and turn their errors into messages and exit statuses."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .._errors import SkipstoneError
from . import _clear, _doctor, _gc, _look, _report, _runs, _show, _transfers, _ui, _verify
from ._output import say, warn
from ._status import FAILED, INTERRUPTED
from ._where import environment_read


class _Commands(TyperGroup):
    """The commands, with help that leaves out the types of flags and arguments."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _without_types(command.get_params(ctx))
        return command


def _without_types(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: ""  # noqa: ARG005
    return parameters


app = typer.Typer(
    name="skipstone",
    cls=_Commands,
    help="See and manage what skipstone has stored.\n\nThe first of these that names a store decides: the options; "
    "SKIPSTONE_* in the environment; skipstone.toml, or \\[tool.skipstone] in pyproject.toml, here or in a folder above. "
    "Otherwise it is ./artifacts.",
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
            warnings.simplefilter("ignore")  # the commands report these things themselves
            status = app(args=arguments, standalone_mode=True)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else FAILED
    except SkipstoneError as error:
        warn(str(error))
        return FAILED
    except BrokenPipeError:  # `skipstone records | head`
        sys.stderr.close()
        return FAILED
    except OSError as error:  # such as a full disk behind the output
        warn(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return int(status or 0)
