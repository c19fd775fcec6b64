"""What the page on clusters shows runs, on the engines themselves."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/run-on-a-cluster.md"
VECTORS = [[1, 5], [4, 5], [4, 3, 4]]
LONGEST_SECONDS = 240  # it starts three engines


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_snippets_run(script):
    """They run one after the other, as a reader would type them, and skip what is done."""
    page = PAGE.read_text(encoding="utf-8")
    snippets = re.findall(r"(?<!-->\n)^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    tells = "print(vectors, again, large, words, parts, sorted(row['words'] for row in rows))\nclient.shutdown()"
    text = "\n".join([*snippets, tells])
    script.write("snippets.py", f"if __name__ == '__main__':\n{textwrap.indent(text, '    ')}")
    process = script.start("snippets.py", warnings="ignore", environment={"PYSPARK_PYTHON": sys.executable})
    told, errors = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 0, errors
    assert told == f"{VECTORS} {VECTORS[0]} {VECTORS} {[2, 2, 3]} {VECTORS} {[2, 2, 3]}\n"
