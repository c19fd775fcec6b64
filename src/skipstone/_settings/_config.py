"""The settings of a checkpoint: from a mapping or any object, from the environment, and from the project's file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from .._encoding._codec import Codec
from .._encoding._serializers import SERIALIZERS, Serializer, serializer_named
from .._errors import ConfigError
from .._naming import shortened
from .._record import CODE, FAILURE, ITEMS
from ..stores._urls import sendable, shown, tiers_in
from ._config_file import config_file
from ._places import is_shared, problem_with

ENVIRONMENT_PREFIX = "SKIPSTONE_"


class CheckpointConfig(NamedTuple):
    """The settings of a checkpoint."""

    use_checkpoints: bool = True
    """False: every call runs, and no disk is touched."""
    index_name: str | Callable[[], str] = "default"
    """The variant of the data or experiment: a text, or a method that returns one. Another index name sees none of this one's
    records."""
    artifacts_dir: str | os.PathLike[str] = "artifacts"
    """Records are kept under `<artifacts_dir>/checkpoint/<index name>/<step>/`."""
    store: str | Sequence[str] = "local"
    """Where records live. `local` is a folder below `artifacts_dir`. A URL is a store that several machines share: `s3://`, `gs://`,
    `az://`, `file://`, `postgresql://`, `redis://`, or `module.Class://` for one of your own. A list names several, the nearest
    first."""
    background_saves: bool = False
    """With several stores. True: a call waits only until the nearest one has its record; the others get it soon, even after a
    crash."""
    serializer: str | Serializer = "pickle"
    """`pickle`, `msgpack` or `json` (both decoded to the function's return annotation), or an object with `name`, `dumps` and
    `loads`. Changing it loses nothing, because each record says how it was made."""
    compression: Literal["zstd"] | None = None
    """`zstd`, with `pip install "skipstone[zstd]"`, or None. Changing it loses nothing."""
    durability: Literal["process", "power"] = "process"
    """`process`: what is acknowledged survives `kill -9`. `power`: it also survives a power loss, which costs some 0.2 ms per
    record."""
    on_code_change: Literal["warn", "rerun", "ignore"] = "warn"
    """What to do with a stored result that other code made: `warn` (return it with a warning), `rerun` (replace it) or `ignore`
    (return it)."""
    check_calls: bool = False
    """True: look for misuse, such as one id for different arguments, and warn about it. For development, because it takes time."""
    audit: float = 0.0
    """The share of hits that are run again, to check that the result is still the stored one: 0.01 is one in a hundred."""
    keep_history: bool = False
    """True: when a call is run again, its old result is kept beside the new one; see `Checkpoint.history`."""
    on_save_error: Literal["warn", "raise"] = "warn"
    """What to do with a result that cannot be kept: `warn` (return it with a warning) or `raise` (a `SaveError` that has it in
    `.result`)."""
    trust_store: bool = False
    """True: open a store that others own or can write to, although they could plant a pickle in it."""
    signing_key: bytes | str | Sequence[bytes | str] | None = None
    """A secret text or bytes: records are signed with it, and no record without its signature is loaded. In a list, the first
    key signs, and all are accepted."""
    encryption_key: bytes | str | Sequence[bytes | str] | None = None
    """A secret of at least 16 random bytes, as a text or bytes, with `pip install "skipstone[crypt]"`: results, failures and ids
    are encrypted with it, and unencrypted ones are not loaded. In a list, the first key encrypts, and all decrypt."""
    wait_timeout: float | None = None
    """Seconds to wait while somebody else computes the same call; None: as long as it takes."""
    expires_seconds: float | None = None
    """How old a stored result may be to be returned, in seconds; None: any age."""
    max_bytes: float | None = None
    """How many bytes the stored results of a step may take: when it is closed, the least recently used ones are removed until
    they fit. None: no limit."""

    def __repr__(self) -> str:
        """Show no secrets."""
        fields = (f"{name}={_without_secrets(name, value)!r}" for name, value in self._asdict().items())
        return f"CheckpointConfig({', '.join(fields)})"

    def __reduce__(self) -> tuple[type[CheckpointConfig], tuple[object, ...]]:
        """Pickle it without the password that a store's URL may have: see `stores._urls.sendable`."""
        store = self.store
        sent = sendable(store) if isinstance(store, str) else [sendable(place) for place in store]
        return CheckpointConfig, tuple(self._replace(store=sent))


ConfigLike: TypeAlias = "CheckpointConfig | Mapping[str, Any] | object | None"

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "compression": ("zstd", None),
    "durability": ("process", "power"),
    "on_code_change": ("warn", "rerun", "ignore"),
    "on_save_error": ("warn", "raise"),
}
_SECRET = ("signing_key", "encryption_key")
_SHORTEST_ENCRYPTION_KEY_BYTES = 16
_SWITCHES = ("use_checkpoints", "background_saves", "trust_store", "check_calls", "keep_history")
_NUMBERS = {"wait_timeout": "seconds", "expires_seconds": "seconds", "max_bytes": "bytes", "audit": "1"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def resolve(config: ConfigLike, environment: Mapping[str, str] = os.environ) -> CheckpointConfig:
    """Read the settings, and check them: first from the environment, then from `config`, then from the project's file.

    Args:
        config: A mapping, a CheckpointConfig, or any object that has some of its fields as attributes; other
            attributes are ignored. What is missing is looked for in the file, and then takes its default.
        environment: `SKIPSTONE_<FIELD>` overrides a field.

    Raises:
        ConfigError: A field has the wrong type or value, or a mapping has a key that is no field.
    """
    fields = CheckpointConfig._fields
    variables = {name: f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in fields}
    for variable in environment:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in variables.values():
            message = f"environment variable {variable} is no setting; there are: {', '.join(variables.values())}"
            raise ConfigError(message)
    if isinstance(config, (str, bytes, int, float, os.PathLike)):
        message = f"config is {_without_secrets('', config)!r}, expected a mapping or an object with settings, such as {{'artifacts_dir': ...}}"
        raise ConfigError(message)
    if isinstance(config, Mapping):
        given = dict(config)
        _check_names("config", given)
    else:
        given = {name: getattr(config, name) for name in fields if hasattr(config, name)}
    checked: dict[str, Any] = {name: _checked(name, value) for name, value in given.items()}
    if len(checked) < len(fields) and (file := config_file()) is not None:
        _check_names(file.path, file.settings)
        for name in file.settings.keys() - checked.keys():
            checked[name] = _checked(name, file.settings[name], file.path)
    for name, variable in variables.items():
        if variable in environment:
            checked[name] = _checked(name, _from_text(name, environment[variable]), variable)
    return CheckpointConfig(**checked)


def _check_names(source: str, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in CheckpointConfig._fields:
            message = f"{source} has a key {name!r}, which is no setting; there are: {', '.join(CheckpointConfig._fields)}"
            raise ConfigError(message)


def secrets_of(value: Any) -> tuple[Any, ...]:
    """Return the keys of a config's `signing_key` or `encryption_key` as bytes, the one that signs or encrypts first."""
    several = value if isinstance(value, (list, tuple)) else () if value is None else (value,)
    return tuple(key.encode() if isinstance(key, str) else key for key in several)


def codec_of(config: CheckpointConfig) -> Codec:
    """Return what makes records of results, as a checked config says.

    Raises:
        MissingExtraError: It needs a library that is not installed.
    """
    return Codec(
        serializer_of(config),
        config.compression,
        secrets_of(config.signing_key),
        secrets_of(config.encryption_key),
        trusts_pickles=config.trust_store or not is_shared(config.store),
    )


def serializer_of(config: CheckpointConfig) -> Serializer:
    """Return the serializer that a checked config chooses."""
    chosen = config.serializer
    found = serializer_named(chosen) if isinstance(chosen, str) else chosen
    assert found is not None
    return found


def _from_text(name: str, text: str) -> object:
    word = text.strip().lower()
    if name in _SWITCHES and word in _TRUE + _FALSE:
        return word in _TRUE
    if name in ("compression", *_SECRET, *_NUMBERS) and word in ("", "none"):
        return None
    if name == "store":
        tiers = tiers_in(text)
        return tiers[0] if len(tiers) == 1 else tiers
    if name in _NUMBERS:
        try:
            return float(word)
        except ValueError:
            return text
    return text


def _checked(name: str, value: Any, source: str = "config") -> object:
    if name == "index_name" and callable(value):
        value = value()
    if name == "artifacts_dir" and isinstance(value, os.PathLike):
        value = os.fspath(value)
    expected = _expected(name, value)
    if expected:
        where = f"{name} in {source}"
        if source == "config":
            where = f"config.{name}"
        elif source.startswith(ENVIRONMENT_PREFIX):
            where = f"environment variable {source}"
        message = f"{where} is {shortened(_without_secrets(name, value))!r} ({type(value).__name__}), expected {expected}"
        raise ConfigError(message)
    return value


def _without_secrets(name: str, value: object) -> object:
    """Return a setting's value for people."""
    if name in _SECRET and value is not None:
        return "<secret>"
    if isinstance(value, (list, tuple)):
        return [_without_secrets(name, each) for each in value]
    return shown(value) if isinstance(value, str) else value


def _expected(name: str, value: object) -> str | None:
    """Return what a field should be, or None where it is that."""
    if name in _CHOICES:
        choices = _CHOICES[name]
        return None if value in choices else " or ".join(repr(choice) for choice in choices)
    if name in _SECRET:
        return _problem_with_keys(value, 1 if name == "signing_key" else _SHORTEST_ENCRYPTION_KEY_BYTES)
    if name in _SWITCHES:
        return None if isinstance(value, bool) else "a bool"
    if name == "index_name":
        return None if isinstance(value, str) else "a str or a method without arguments that returns one"
    if name == "artifacts_dir":
        return None if isinstance(value, str) and value else "a path (str or os.PathLike)"
    if name == "store":
        return problem_with(value)
    if name in _NUMBERS:
        return _number_expected(name, value)
    return _problem_with_serializer(value)


def _problem_with_serializer(value: Any) -> str | None:
    if not isinstance(value, Serializer):
        is_built_in = isinstance(value, str) and serializer_named(value)
        return (
            None if is_built_in else f"{', '.join(map(repr, SERIALIZERS))} or an object with name, dumps and loads"
        )
    name: Any = value.name
    if isinstance(name, str) and name not in ("", FAILURE, CODE, ITEMS) and not {"+", ":"} & set(name):
        built_in = serializer_named(name)
        if built_in is None or type(built_in) is type(value):
            return None
    taken = ", ".join(map(repr, (*SERIALIZERS, FAILURE, CODE, ITEMS)))
    return f"a serializer whose name, which is {name!r}, is a text without '+' and ':', and none of {taken}"


def _number_expected(name: str, value: Any) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if name == "audit":
        return None if is_number and value <= 1 else "a number from 0 to 1"
    return None if value is None or is_number else f"a number of {_NUMBERS[name]} or None"


def _problem_with_keys(value: object, least_bytes: int) -> str | None:
    keys = secrets_of(value)
    if value is not None and not keys:
        return "a text or bytes, or a list of at least one of them"
    if not all(isinstance(key, bytes) and key for key in keys):
        return "a text or bytes, or a list of them"
    if any(len(key) < least_bytes for key in keys):
        return f"at least {least_bytes} random bytes: python -c 'import secrets; print(secrets.token_hex(32))' makes them"
    return None
