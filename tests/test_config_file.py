"""A project's file has settings that program and command line share."""

import os

import pytest

from skipstone import CheckpointConfig, ConfigError, open_checkpoint
from skipstone._settings._config import resolve


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder, and a folder below that is worked in."""
    below = tmp_path / "project/below"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return tmp_path / "project"


def test_settings_come_from_pyproject(project):
    """`[tool.skipstone]` of the working folder or one above is used; a relative folder is one beside the file."""
    (project / "pyproject.toml").write_text('[tool.skipstone]\nartifacts_dir = "data"\ncompression = "zstd"\n')
    config = resolve(None, {})
    assert (config.artifacts_dir, config.compression) == (str(project / "data"), "zstd")
    with open_checkpoint("load") as checkpoint:
        assert checkpoint.place == str(project / "data/checkpoint/default/load")


def test_skipstone_toml_comes_first(project):
    """A file of its own is read before a pyproject.toml, and the nearest folder's before those above."""
    (project / "pyproject.toml").write_text('[tool.skipstone]\nindex_name = "above"\n')
    (project / "below/pyproject.toml").write_text("[project]\n")
    assert resolve(None, {}).index_name == "above"
    (project / "skipstone.toml").write_text('index_name = "own"\n')
    assert resolve(None, {}).index_name == "own"
    (project / "below/pyproject.toml").write_text('[tool.skipstone]\nindex_name = "below"\n')
    assert resolve(None, {}).index_name == "below"


def test_what_is_explicit_comes_first(project):
    """The environment goes before the program's config, and that before the file."""
    (project / "skipstone.toml").write_text('index_name = "file"\nserializer = "json"\n')
    config = resolve({"index_name": "program"}, {"SKIPSTONE_SERIALIZER": "msgpack"})
    assert (config.index_name, config.serializer) == ("program", "msgpack")
    assert resolve({"index_name": "program"}, {}).serializer == "json"
    assert resolve(CheckpointConfig(), {}).index_name == "default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('index = "x"', "has a key 'index', which is no setting"),
        ("wait_timeout = 'soon'", "wait_timeout in "),
        ("index_name = ", "cannot be read"),
    ],
)
def test_a_wrong_file_is_told(project, text, message):
    """A name that is no setting, a wrong value and broken TOML are errors that name the file."""
    (project / "skipstone.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(None, {})
    assert str(project / "skipstone.toml") in str(caught.value)


def test_a_file_that_others_can_write_is_refused(project):
    """Whoever can write the file could say where results come from."""
    path = project / "skipstone.toml"
    path.write_text('index_name = "x"')
    os.chmod(path, 0o666)
    with pytest.raises(ConfigError, match="others can write to it"):
        resolve(None, {})


def test_other_files_do_not_matter(project):
    """A pyproject.toml without the table may be anybody's, and even broken."""
    path = project / "pyproject.toml"
    path.write_text("not TOML")
    os.chmod(path, 0o666)
    assert resolve(None, {}) == CheckpointConfig()


def test_a_working_folder_that_is_gone(project):
    """Where the working folder was deleted, there is no file."""
    os.rmdir(project / "below")
    assert resolve({"artifacts_dir": str(project)}, {}).artifacts_dir == str(project)
