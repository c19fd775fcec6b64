"""What is built can be installed alone, and works."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMOKE = """
import skipstone
skipstone.init_checkpoint("smoke", {"artifacts_dir": "artifacts"})

@skipstone.cache_with_checkpoint(id="n")
def square(n: int) -> int:
    return n * n

assert [square(3), square(3)] == [9, 9]
stats = skipstone.get_checkpoint().stats()
assert (stats.hits, stats.misses) == (1, 1), stats
skipstone.init_checkpoint("plain", {"serializer": "msgpack"})
assert [square(3), square(3)] == [9, 9]
print(skipstone.__version__)
"""


def run(*command, cwd):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    """The wheel has py.typed and a page whose links lead somewhere, installs with its dependencies alone, and passes a smoke test."""
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("skipstone-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"skipstone/py.typed", "skipstone/_report/style.css"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "docs", "examples"))]
    (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    page = zipfile.ZipFile(wheel).read(metadata).decode().partition("\n\n")[2]
    assert page.startswith("# skipstone")
    assert {link.partition(":")[0] for link in re.findall(r"\]\(([^)]+)\)", page)} <= {"https"}
    run(sys.executable, "-m", "venv", tmp_path / "empty", cwd=tmp_path)
    python = tmp_path / "empty/bin/python"
    run(python, "-m", "pip", "install", wheel, cwd=tmp_path)
    (tmp_path / "smoke.py").write_text(SMOKE)
    assert run(python, "-W", "error", "smoke.py", cwd=tmp_path).strip() == "0.1.0"
    script = tmp_path / "empty/bin/skipstone"  # without the extra, clearing works
    assert len(run(script, "clear_checkpoints", cwd=tmp_path).splitlines()) == 2
