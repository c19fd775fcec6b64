"""Describe a function: its name, the keys of its calls, its result type and its code."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary, ref

from .._digest import blake2b
from .._errors import UnstableIdError
from .._naming import qualified_name, storable
from .._record import Key
from ._canonical import canonical, digest_of_small
from ._objects import closure_of

if TYPE_CHECKING:
    from ._code import Code

_KEY_BYTES = 16
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # inspect.CO_...: importing inspect costs 10 ms


def is_changed(code: bytes, other: bytes) -> bool:
    """Tell whether two fingerprints are of different code: they differ, and were made in the same way, as their first byte says."""
    return code != other and bool(code) and code[:1] == other[:1]


class KnownFunction:
    """A function whose results are kept."""

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        name: str | None = None,
        version: str | None = None,
        on_code_change: str | None = None,
        ignore: Collection[str] = (),
        packages: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a function.

        Args:
            call: The function itself, undecorated.
            name: Its name in keys and listings; by default `module.qualname`.
            version: Results of different versions do not mix.
            on_code_change: Overrides the config's setting.
            ignore: Parameters that do not matter.
            packages: The packages whose versions count as code: versions by name.

        Raises:
            UnstableIdError: The function has no name of its own, being a lambda, and none was given.
        """
        self._call = self._method = _weakly(call)
        self._code = getattr(call, "__code__", None)  # kept, since a function made by another one may not live on
        name, version = name or _name_of(call), version or ""
        self.name: str = storable(name)
        self.version: str = storable(version)
        self.on_code_change = on_code_change
        self.ignore: frozenset[str] = frozenset(ignore)
        self._packages = packages
        self._around = _contents_around(call)
        self._spec = getattr(call, "__globals__", {}).get("__spec__")  # a reload replaces it
        self.id_of: Callable[..., object] | None = None
        """Returns the call id, given the arguments; None if the function is not decorated."""
        self.each: str | None = None
        """The parameter that takes a list of items, if each item has an id and a result of its own."""
        self.expires_seconds: float | None = None
        """How old a result may be; None if the config decides."""
        flags = _flags(call)
        self.is_async: bool = bool(flags & _COROUTINE)
        self.is_generator: bool = bool(flags & (_GENERATOR | _ASYNC_GENERATOR))
        self.is_async_generator: bool = bool(flags & _ASYNC_GENERATOR)
        self._digest = blake2b(canonical((name, version)), digest_size=_KEY_BYTES)
        self._text_digest = self._digest.copy()
        self._text_digest.update(b"\0")  # no canonical form begins with this

    def __reduce__(self) -> tuple[Callable[..., KnownFunction], tuple[object, ...], dict[str, object]]:
        """Pickle also what another process may be unable to find out, lacking the source or running another `__main__`.

        This is pickled only along with functions that are pickled by value, as by cloudpickle.
        """
        settings = {
            "name": self.name,
            "version": self.version,
            "on_code_change": self.on_code_change,
            "ignore": self.ignore,
        }
        described = self.described._replace(reads=())
        found = {"described": described, "result_type": self.result_type, "each": self.each}
        found["expires_seconds"] = self.expires_seconds
        return _restored, (self.call, self.method, settings, self.id_of), found

    @property
    def call(self) -> Callable[..., Any]:
        """The function itself, undecorated."""
        return self._call()

    @property
    def method(self) -> Callable[..., Any]:
        """The function as users call it: decorated, if it has the decorator."""
        return self._method()

    def stands_behind(self, decorated: Callable[..., Any], id_of: Callable[..., object]) -> None:
        """Note the decorated function that users call in place of this one, and how to make its ids."""
        self._method, self.id_of = _weakly(decorated), id_of
        decorated.__dict__[_ATTRIBUTE] = self

    def is_beside(self, other: KnownFunction) -> bool:
        """Tell whether another function of the same name exists beside this one, rather than having replaced it."""
        one, two = self._call(), other._call()
        if self._code is not None and self._code is other._code:
            return self._made_with() != other._made_with()
        if one is None or one is two:
            return False
        if qualified_name(one) != qualified_name(two):
            return True  # one of them was given this name by `name=`
        files = {getattr(self._code, "co_filename", "<"), getattr(other._code, "co_filename", "<")}
        # A reloaded module has another spec, and a notebook cell that ran again has another file.
        return len(files) == 1 and not files.pop().startswith("<") and self._spec is other._spec

    def _made_with(self) -> list[bytes | None]:
        """Return digests of what tells functions with the same code apart: their defaults and closed-over values."""
        from ._code import VALUE

        parts = self.described.parts
        own = next(filter(None, parts), "")  # the first part is the function itself
        return [
            parts.get(own),
            *(parts.get(own + VALUE + name) for name in getattr(self._code, "co_freevars", ())),
        ]

    def key(self, call_id: object, /) -> Key:
        """Return the 16-byte key of the call with this id.

        Raises:
            UnstableIdError: The id has no canonical form.
        """
        if type(call_id) is str:  # by far the most common
            digest = self._text_digest.copy()
            try:
                digest.update(call_id.encode())
            except UnicodeEncodeError:
                digest.update(call_id.encode("utf-8", "surrogatepass"))
            return digest.digest()
        digest = self._digest.copy()
        try:
            digest.update(canonical(call_id))
        except UnstableIdError as error:
            message = f"cannot make the id of a call of {self.name}: {error}"
            raise UnstableIdError(message) from None
        return digest.digest()

    @functools.cached_property
    def positional(self) -> tuple[str, ...]:
        """The names of the parameters that can be passed by position."""
        code = self.call.__code__
        return code.co_varnames[: code.co_argcount]

    @functools.cached_property
    def code(self) -> bytes:
        """The fingerprint of the code that the function runs, 8 bytes."""
        return self.described.fingerprint

    @functools.cached_property
    def described(self) -> Code:
        """The code that the function runs."""
        from ._code import code_of

        return code_of(self.call, self._packages, self._around)

    @functools.cached_property
    def result_type(self) -> object:
        """The annotated type of the result, or `typing.Any`."""
        try:
            return get_type_hints(self.call).get("return", Any)
        except Exception:  # noqa: BLE001 - ignore annotations that cannot be resolved
            return Any

    @functools.cached_property
    def of_items(self) -> KnownFunction:
        """The same function seen as one whose result is that of one item: the same keys, but the type of an item."""
        same = object.__new__(KnownFunction)
        same.__dict__.update(self.__dict__, result_type=_item_type(self.result_type))
        return same


def _contents_around(call: Any) -> dict[str, str]:
    """Return digests of the mutable values in a function's closure, as they are now, before it has run."""
    return {
        name: digest
        for name, value in closure_of(call).items()
        if type(value).__hash__ is None and (digest := digest_of_small(value))
    }


def _item_type(list_type: object) -> object:
    origin = get_origin(list_type)
    match get_args(list_type):
        case (item,) | (item, types.EllipsisType()) if isinstance(origin, type) and issubclass(origin, Iterable):
            return item
        case _:
            return Any


def _restored(
    call: Callable[..., Any],
    method: Callable[..., Any],
    settings: dict[str, Any],
    id_of: Callable[..., object] | None,
) -> KnownFunction:
    function = KnownFunction(call, **settings)
    function._method, function.id_of = _weakly(method), id_of
    return function


def _weakly(call: Callable[..., Any]) -> Callable[[], Callable[..., Any]]:
    """Return a function that returns `call`, and does not keep it alive if that is possible."""
    try:
        return ref(call)  # type: ignore[return-value]  # called only while it lives
    except TypeError:
        return lambda: call


_ATTRIBUTE = "__skipstone__"
"""The attribute of a function with its `KnownFunction`, which so travels with functions that are pickled by value."""

# By class: of the class itself, when it is called; and of its instances, when they are called.
_known: WeakKeyDictionary[type, KnownFunction] = WeakKeyDictionary()
_known_of_instances: WeakKeyDictionary[type, KnownFunction] = WeakKeyDictionary()


def known(method: Callable[..., Any]) -> tuple[KnownFunction, Callable[..., Any]]:
    """Return the `KnownFunction` of anything callable, and what to call: the undecorated function."""
    if not callable(method):
        message = (
            f"{method!r} is not callable: give a function, decorated or not (its id and arguments come behind it)"
        )
        raise TypeError(message)
    if isinstance(method, functools.partial):
        function, call = known(method.func)
        return function, functools.partial(call, *method.args, **method.keywords)
    if isinstance(method, types.MethodType):
        function, call = known(method.__func__)
        return function, types.MethodType(call, method.__self__)
    if isinstance(method, types.FunctionType):
        found: KnownFunction | None = method.__dict__.get(_ATTRIBUTE)
        if found is None or found._method() is not method:  # copied from another function by `functools.wraps`
            found = method.__dict__[_ATTRIBUTE] = KnownFunction(method)
        return found, found._call()
    if isinstance(method, type):
        return _known.get(method) or _known.setdefault(method, KnownFunction(method)), method
    if isinstance(method, (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)):
        return KnownFunction(method), method
    cls = type(method)
    function = _known_of_instances.get(cls) or _known_of_instances.setdefault(
        cls, KnownFunction(cls.__call__, name=qualified_name(cls))
    )
    return function, method


def _flags(call: Callable[..., Any]) -> int:
    return int(getattr(getattr(call, "__code__", None), "co_flags", 0))


def _name_of(call: Callable[..., Any]) -> str:
    name = qualified_name(call)
    if name.endswith("<lambda>"):
        message = (
            f"{name} has no name of its own, so its results could not be told from those of another lambda: "
            f"write it as a function with def, or decorate it with cache_with_checkpoint(name=...)"
        )
        raise UnstableIdError(message)
    return name
