"""Settings come from a mapping or any object, then from the environment; a wrong one is an error that says so."""

import dataclasses
import os
import types
from pathlib import Path

import pydantic
import pytest

from skipstone import (
    CheckpointConfig,
    ConfigError,
    LocalStorageCheckpoint,
    NullCheckpoint,
    cache_with_checkpoint,
    init_checkpoint,
    open_checkpoint,
)


def resolved(config, name="step"):
    with open_checkpoint(name, config) as checkpoint:
        return checkpoint.config


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@dataclasses.dataclass
class AppSettings:
    index_name: str
    artifacts_dir: str
    model: str = "large"


class PydanticSettings(pydantic.BaseModel):
    index_name: str
    artifacts_dir: str
    temperature: float = 0.5


class SlotSettings:
    __slots__ = ("artifacts_dir", "index_name", "on_code_change")  # one of them is never set

    def __init__(self, index_name, artifacts_dir):
        self.index_name = index_name
        self.artifacts_dir = artifacts_dir


@pytest.mark.parametrize(
    "kind",
    [
        dict,
        CheckpointConfig,
        AppSettings,
        PydanticSettings,
        SlotSettings,
        types.SimpleNamespace,
        lambda **fields: types.MappingProxyType(fields),
        lambda **fields: types.SimpleNamespace(**fields, serialiser="unknown", durable=7),
    ],
)
def test_any_kind_of_object_is_a_config(kind):
    """A mapping and any object with attributes set the fields they have; others default, and more are ignored."""
    config = resolved(kind(index_name="news", artifacts_dir="out"))
    assert config == CheckpointConfig(index_name="news", artifacts_dir="out")
    assert os.path.isdir("out/checkpoint/news/step")


def test_no_config_is_all_defaults():
    """Without a config every field has the default of CheckpointConfig."""
    assert resolved(None) == CheckpointConfig()
    assert resolved(object()) == CheckpointConfig()
    assert resolved({}) == CheckpointConfig()


def test_attributes_of_a_class_and_properties_count():
    """A setting may be a class attribute or a property."""

    class Settings:
        on_save_error = "raise"

        @property
        def index_name(self):
            return "by-property"

    config = resolved(Settings())
    assert (config.on_save_error, config.index_name) == ("raise", "by-property")


def test_unknown_key_of_a_mapping_is_an_error():
    """A misspelt key of a mapping is refused, with the names that there are."""
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", {"serialiser": "json"})
    known = ", ".join(CheckpointConfig._fields)
    assert str(caught.value) == f"config has a key 'serialiser', which is no setting; there are: {known}"
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"index_name": 3},
            "config.index_name is '3' (int), expected a str or a method without arguments that returns one",
        ),
        ({"durability": "disk"}, "config.durability is 'disk' (str), expected 'process' or 'power'"),
        ({"use_checkpoints": "yes"}, "config.use_checkpoints is 'yes' (str), expected a bool"),
        ({"wait_timeout": -1}, "config.wait_timeout is '-1' (int), expected a number of seconds or None"),
        ({"compression": "gzip"}, "config.compression is 'gzip' (str), expected 'zstd' or None"),
        (
            {"signing_key": 12345},
            "config.signing_key is '<secret>' (int), expected a text or bytes, or a list of them",
        ),
    ],
)
def test_wrong_setting_is_told_whole(config, message):
    """An error names the field, its value and type, and what was expected."""
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", config)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("kind", [dict, lambda **fields: types.SimpleNamespace(**fields)])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_checkpoints", 1),
        ("use_checkpoints", None),
        ("index_name", None),
        ("index_name", lambda: 7),
        ("artifacts_dir", ""),
        ("artifacts_dir", b"artifacts"),
        ("serializer", "yaml"),
        ("serializer", object()),
        ("compression", True),
        ("durability", None),
        ("on_code_change", "Warn"),
        ("on_save_error", ["raise"]),
        ("trust_store", "true"),
        ("signing_key", ""),
        ("signing_key", ["good", 3]),
        ("wait_timeout", "10"),
        ("wait_timeout", True),
        ("wait_timeout", float("nan")),
    ],
)
def test_wrong_type_is_an_error_that_names_the_field(kind, field, value):
    """Every field refuses what is not of its type, from a mapping and from an object."""
    with pytest.raises(ConfigError, match=rf"^config\.{field} is .*, expected "):
        open_checkpoint("step", kind(**{field: value}))
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["", 7, "pickle", "json", "failure", "code", "items", "mine+zstd", "item:mine"])
def test_a_serializer_needs_a_name_of_its_own(name):
    """Its name stands in each record: one that means something else there is refused, as such results would be lost."""

    class Mine:
        def dumps(self, value, result_type, /):
            return [b""]

        def loads(self, payload, result_type, /):
            return None

    Mine.name = name
    with pytest.raises(
        ConfigError, match=rf"^config\.serializer is .* name, which is {name!r}".replace("+", r"\+")
    ):
        open_checkpoint("step", {"serializer": Mine()})


def test_secret_is_not_shown():
    """A wrong signing key does not appear in the message."""
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", {"signing_key": ["hunter2", None]})
    assert "hunter2" not in str(caught.value)


def test_index_name_may_be_a_method():
    """An application's config may compute its index name in a method without arguments."""

    class IndexConfig:
        def __init__(self, model):
            self.model = model

        def index_name(self):
            return f"by-{self.model}"

    assert resolved(IndexConfig("ada")).index_name == "by-ada"
    assert resolved({"index_name": IndexConfig("ada").index_name}).index_name == "by-ada"


def test_path_objects_are_folders():
    """`artifacts_dir` may be a path object."""
    with open_checkpoint("step", {"artifacts_dir": Path("some") / "where"}):
        assert os.path.isdir("some/where/checkpoint/default/step")


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("SKIPSTONE_INDEX_NAME", "env", "env"),
        ("SKIPSTONE_ARTIFACTS_DIR", "elsewhere", "elsewhere"),
        ("SKIPSTONE_SERIALIZER", "json", "json"),
        ("SKIPSTONE_ON_CODE_CHANGE", "rerun", "rerun"),
        ("SKIPSTONE_COMPRESSION", "none", None),
        ("SKIPSTONE_COMPRESSION", "", None),
        ("SKIPSTONE_WAIT_TIMEOUT", "2.5", 2.5),
        ("SKIPSTONE_WAIT_TIMEOUT", "none", None),
        ("SKIPSTONE_SIGNING_KEY", "secret", "secret"),
        *(("SKIPSTONE_USE_CHECKPOINTS", text, False) for text in ("0", "false", "No", " OFF ", "False")),
        *(("SKIPSTONE_TRUST_STORE", text, True) for text in ("1", "true", "Yes", " ON ", "True")),
    ],
)
def test_environment_overrides(monkeypatch, variable, text, expected):
    """`SKIPSTONE_<FIELD>` overrides what the config says; switches take the usual words in any case."""
    monkeypatch.setenv(variable, text)
    field = variable.removeprefix("SKIPSTONE_").lower()
    before = {
        "index_name": "given",
        "compression": "zstd",
        "wait_timeout": 1,
        "use_checkpoints": True,
        "trust_store": False,
        "on_code_change": "warn",
        "serializer": "pickle",
    }
    assert getattr(resolved(before), field) == expected


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "SKIPSTONE_USE_CHECKPOINTS",
            "maybe",
            "environment variable SKIPSTONE_USE_CHECKPOINTS is 'maybe' (str), expected a bool",
        ),
        (
            "SKIPSTONE_WAIT_TIMEOUT",
            "soon",
            "environment variable SKIPSTONE_WAIT_TIMEOUT is 'soon' (str), expected a number of seconds or None",
        ),
        (
            "SKIPSTONE_SERIALIZER",
            "yaml",
            (
                "environment variable SKIPSTONE_SERIALIZER is 'yaml' (str), expected 'pickle', 'msgpack', 'json' or an "
                "object with name, dumps and loads"
            ),
        ),
    ],
)
def test_bad_environment_is_told_whole(monkeypatch, variable, text, message):
    """A bad value in the environment is an error that names the variable."""
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError) as caught:
        open_checkpoint("step", None)
    assert str(caught.value) == message


@pytest.mark.parametrize("variable", ["SKIPSTONE_ARTIFACT_DIR", "SKIPSTONE_index_name"])
def test_unknown_variable(monkeypatch, variable):
    """A variable that is no setting is an error that names it as it is written, and those that there are."""
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigError) as caught:
        init_checkpoint("step", {})
    known = ", ".join(f"SKIPSTONE_{name.upper()}" for name in CheckpointConfig._fields)
    assert str(caught.value) == f"environment variable {variable} is no setting; there are: {known}"


@pytest.mark.parametrize("how", ["config", "environment", "class"])
def test_switched_off_runs_every_call_and_touches_no_disk(monkeypatch, how):
    """Switched off, every call runs and nothing is written."""
    if how == "environment":
        monkeypatch.setenv("SKIPSTONE_USE_CHECKPOINTS", "0")
    runs = []

    @cache_with_checkpoint(id="x")
    def work(x):
        runs.append(x)
        return x

    if how == "class":
        checkpoint = NullCheckpoint("step", {"artifacts_dir": "artifacts"})
    else:
        checkpoint = init_checkpoint("step", {"use_checkpoints": how == "environment"})
        assert [work(1), work(1), work(1)] == [1, 1, 1]
        assert not work.is_done(1)
    assert isinstance(checkpoint, NullCheckpoint)
    assert checkpoint.load_or_run(runs.append, "k", 1) is None
    assert checkpoint.load_or_run(runs.append, "k", 1) is None
    assert len(runs) == (2 if how == "class" else 5)
    assert list(checkpoint.records()) == list(checkpoint.failures()) == []
    assert checkpoint.clear() == 0
    checkpoint.close()
    assert os.listdir() == []


def test_switched_off_counts_like_switched_on():
    """A checkpoint that is off counts the calls that returned and those that raised."""

    def fail():
        raise OSError("no")

    checkpoint = NullCheckpoint("step")
    checkpoint.load_or_run(dict, "k")
    with pytest.raises(OSError, match="no"):
        checkpoint.load_or_run(fail, "k")
    assert (checkpoint.stats().hits, checkpoint.stats().misses, checkpoint.stats().failures) == (0, 1, 1)


@pytest.mark.parametrize("opener", [open_checkpoint, init_checkpoint, LocalStorageCheckpoint])
@pytest.mark.parametrize(("name", "shown"), [("", "''"), (None, "None"), (7, "7")])
def test_a_step_needs_a_name(opener, name, shown):
    """An empty checkpoint name, or one that is no text, is refused."""
    with pytest.raises(ConfigError) as caught:
        opener(name, None)
    assert str(caught.value) == f"checkpoint_name is {shown}: give the step a name, such as 'index'"
    assert os.listdir() == []


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "a\\b", "con", "ünï", "NUL\0", " x ", "A", "a", "~", "%2e", "x" * 300, "\ud800"]
)
def test_any_text_is_a_step_name(name):
    """Any text names a step of its own, and what it writes stays inside the artifacts folder."""
    with open_checkpoint(name, {"index_name": name}) as checkpoint, open_checkpoint(f"{name}_") as other:
        checkpoint.load_or_run(dict, "k")
        assert [record.call_id for record in checkpoint.records()] == ["k"]
        assert list(other.records()) == []
    assert os.listdir() == ["artifacts"]
    assert os.listdir("artifacts") == ["checkpoint"]


@pytest.mark.parametrize("config", ["some/folder", b"x", 3, Path("some/folder")])
def test_a_config_is_no_path(config):
    """A path in the place of a config is an error that shows what a config looks like, not one of all defaults."""
    with pytest.raises(
        ConfigError, match="expected a mapping or an object with settings, such as {'artifacts_dir': "
    ):
        open_checkpoint("step", config)
