"""The pages of the documentation, followed as a reader would: files are written, commands typed, snippets run.

    python tests/pages.py docs/tutorial.md [folder of python]

follows one page in an empty folder, with the `pip install` that it says, and fails where it goes otherwise.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(
    r'^(?:<!-- (?P<mark>[^\n]*?) -->\n+)?```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
_TIMEOUT_SECONDS = 100


class Block(NamedTuple):
    """A piece of code of a page."""

    kind: str
    text: str
    title: str | None
    """Of a file: the block is what stands in it."""
    mark: str
    """What a comment before it says: `not run: <why>`, or `fails: <why>`."""


def pages():
    """Return the paths of all pages below the root."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in paths]


def blocks(page):
    """Return the pieces of code of a page that are to be run: those of a page that is run elsewhere are not."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if elsewhere(page):
        return []
    found = [
        Block(match["kind"], match["text"], match["title"], match["mark"] or "") for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if not re.match(r"not run: \w", block.mark)]


def elsewhere(page):
    """Return the test that runs a page, if it is not this one."""
    found = re.search(r"^<!-- run by (\S+) -->$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    return found and found[1]


def snippets(page):
    """Return the Python code of a page that stands in no file, one piece after the other."""
    return "\n".join(block.text for block in blocks(page) if block.kind == "python" and not block.title)


def is_followed(page):
    """Tell whether a page shows commands to be typed."""
    return page.startswith(("docs/tutorial", "docs/how-to/")) and any(
        block.kind == "console" for block in blocks(page)
    )


def follow(page, folder, *, python=None, installs=False):
    """Do what a page says, in a folder; return what came otherwise, as a text.

    Args:
        page: Its path below the root.
        folder: An empty one.
        python: The folder of the Python to be used, and of its commands.
        installs: Whether `pip install` is done as well.
    """
    python = str(python or Path(sys.executable).parent)
    (folder / "snippets.py").write_text(snippets(page), encoding="utf-8")
    lines, expected = [], []
    for number, block in enumerate(blocks(page)):
        if block.title:
            lines += [f"cat > {block.title} <<'END-OF-{number}'", f"{block.text}END-OF-{number}"]
        elif block.kind == "console":
            for command, output in _commands(block.text):
                if installs or not command.startswith("pip install"):
                    lines += [command, 'printf "\\n--- %s\\n" $?']
                    expected.append((command, output, block.mark))
    if snippets(page):
        lines += ["python -W error snippets.py", 'printf "\\n--- %s\\n" $?']
        expected.append(("python -W error snippets.py", "", ""))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SKIPSTONE_", "PYTEST"))
    }
    environment |= {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    environment |= {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        try:
            process.wait(_TIMEOUT_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a page leaves running, such as a server
            process.wait()
        told.seek(0)
        answers = re.findall(r"(.*?)\n--- (\d+)\n", told.read(), re.DOTALL)
    if len(answers) != len(expected):
        return f"{len(expected)} commands, {len(answers)} answers: {answers}"
    wrong = [
        f"$ {command}\n{answer}\n(status {status}; the page says)\n{output}"
        for (command, output, mark), (answer, status) in zip(expected, answers, strict=True)
        if (status != "0") != mark.startswith("fails:")
        or (output and not _pattern(output).fullmatch(_tidy(answer)))
    ]
    return "\n\n".join(wrong)


def _commands(text):
    """Yield the commands of a console, each with what is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r"\\\n> ?", "", part).partition("\n")
        yield command, output


def _tidy(text):
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def _pattern(output):
    """Return what an answer must be: `…` stands for anything, alone on a line for any lines."""
    lines = [
        r"(?:.*\n)*" if line == "…\n" else ".*".join(map(re.escape, line.split("…")))
        for line in _tidy(output).splitlines(keepends=True)
    ]
    return re.compile("".join(lines))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        faults = follow(sys.argv[1], Path(place), python=sys.argv[2] if sys.argv[2:] else None, installs=True)
    sys.exit(faults or 0)
