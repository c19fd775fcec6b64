"""Write the options of each command into docs/command-line.md, from the commands themselves.

    python tools/command_line.py

They stand between two comments at the end of a command's section; a test tells when they are stale.
"""

import re
from enum import Enum
from pathlib import Path

import typer.main

from skipstone.cli._app import app

PAGE = Path(__file__).parent.parent / "docs/command-line.md"
BEGIN, END = "<!-- options -->", "<!-- end of options -->"


def commands():
    """Return the commands that are shown, by their names."""
    found = typer.main.get_command(app).commands
    return {name: command for name, command in found.items() if not command.hidden}


def table(command, common):
    """Return what a command takes as a table, but for what is common; empty where there is nothing else."""
    rows = []
    for parameter in command.params:
        if (parameter.name, parameter.help) in common:
            continue
        value = parameter.metavar or ""
        names = sorted(parameter.opts, key=len, reverse=True)
        if names[0].startswith("-"):
            names[0] = f"{names[0]} {value}".strip()
        else:
            names = [value or parameter.name.upper()]
        rows.append(f"| {', '.join(f'`{name}`' for name in names)} | {_text(parameter.help)}{_more(parameter)} |")
    return "\n".join(["| option | |", "| --- | --- |", *rows]) if rows else ""


def _text(help_text):
    return help_text.replace("\\", "").replace("<", "&lt;").replace("___", "\\_\\_\\_")


def _more(parameter):
    default = parameter.default
    if isinstance(default, Enum):
        return f" One of {', '.join(f'`{each.value}`' for each in type(default))}; by default `{default.value}`."
    return f" By default `{default}`." if default and not isinstance(default, bool) else ""


def written(page):
    """Return the page with the options of the commands as they are."""
    known = commands()
    common = {
        (parameter.name, parameter.help) for parameter in known["ls"].params if parameter.name != "only_steps"
    }
    for name, command in known.items():
        section = re.search(rf"^### `skipstone {name}[^\n]*\n.*?(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
        if section is None:
            message = f"docs/command-line.md has no section for {name}"
            raise SystemExit(message)
        text = re.sub(rf"\n{BEGIN}.*?{END}\n", "", section[0], flags=re.DOTALL).rstrip("\n")
        if options := table(command, common):
            text += f"\n\n{BEGIN}\n\n{options}\n\n{END}"
        page = f"{page[: section.start()]}{text}\n\n{page[section.end() :]}"
    return f"{page.rstrip()}\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
