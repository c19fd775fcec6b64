"""The code that a function runs: its own syntax tree, and those of the definitions that it refers to.

A function's fingerprint is the digest of one text. For each definition that is found, beginning with the function
itself, the text has the relevant parts of its syntax tree, and what each free name in it stands for: a value, the name
of something foreign, or the number of another definition, which is then written down in the same way. None of the
user's code runs on the way: names are looked up in the dictionaries of modules and classes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple

from .._digest import blake2b
from .._naming import module_name
from ._canonical import digest_of_small
from ._modules import Bound, is_own, leads, leads_of_import, module_of
from ._objects import closure_of
from ._syntax import IMPORT, SELF, SUPER, Chain, changed_by, read, source_of, text_of

_SIMPLE = {type(None), bool, int, float, complex, str, bytes, type(...)}
_METHODS = {FunctionType, staticmethod, classmethod, property, cached_property}
_CODE = {*_METHODS, MethodType, BuiltinFunctionType, partial, re.Pattern}
_CONTAINERS = {list, tuple, dict, set, frozenset}
_WRAPPED = ("__wrapped__", "__func__", "__self__", "func", "fget", "fset", "fdel", "args", "keywords")
_NESTING = 50  # how deep containers in containers are looked into
_MISSING = object()
_SCHEME = b"\x02"  # increase it when the same code gets another digest, so that no code counts as changed by that
_PART_BYTES = 6
_TELLS_DOCSTRINGS = sys.version_info >= (3, 14)
_IS_FUNCTION, _HAS_DOCSTRING = 0x1, 0x4000000  # in the flags of code
_NUMBER = re.compile(r"#(\d+)")

VALUE = ": "
"""Separates, in the name of a part that is a value, the definition from the name in it that has the value."""
PACKAGE = "package "
"""The beginning of the name of a part that is the version of a package."""


class Read(NamedTuple):
    """A global variable that a function reads, and whose value does not count as code."""

    name: str
    """The name with the module, such as `app.MODEL`."""
    namespace: Mapping[str, Any]
    variable: str


class Code(NamedTuple):
    """The code that a function runs."""

    fingerprint: bytes
    """8 bytes that change when the code does; the first byte says how they were made."""
    parts: dict[str, bytes]
    """Digests of each definition, by its name, and of what each name in it stands for; versions of packages as text."""
    reads: tuple[Read, ...] = ()


def code_of(
    function: Callable[..., object],
    packages: Mapping[str, str] | None = None,
    around: Mapping[str, str] | None = None,
) -> Code:
    """Return the code that a function runs, the same in every process and Python version.

    Comments, docstrings, formatting and the annotations of functions do not count. Of code outside the user's project,
    only the names count.

    Args:
        function: Anything that can be called.
        packages: Versions by name, of those that count.
        around: Digests by name of lists, dictionaries and other things that can change, which a function has around it
            because another one made it: as they were when it was made.
    """
    return _Walk(function, around or {}).code(packages or {})


class _Walk:
    """The making of one fingerprint, with the definitions found so far, numbered in the order of discovery."""

    def __init__(self, function: object, around: Mapping[str, str]) -> None:
        self._function = function
        self._around = around
        self._numbers: dict[Hashable, int] = {}
        self._found: list[Any] = []  # functions, classes and names; kept alive, so that an id stays theirs
        self._inside: set[int] = set()
        self._is_whole = True
        """Whether everything described since this was set to True was described by its value."""
        self._by_content = False
        self._reads: dict[str, Read] = {}
        self._filled: set[tuple[int, str]] = set()

    def code(self, packages: Mapping[str, str]) -> Code:
        lines = [self._describe(self._function)]
        written = {"": [lines[0]]}
        for thing in self._found:  # grows during the loop
            name = _full_name(thing)
            for chain, line in self._write(thing):
                lines.append(line)
                written.setdefault(name + VALUE + chain if chain else name, []).append(line)
        lines += [f"{PACKAGE}{name} {version}" for name, version in sorted(packages.items())]
        parts: dict[str, bytes] = {}
        # A number changes if another definition comes to be found before it, so parts have names in place of numbers.
        names = {str(number): _full_name(thing) for number, thing in enumerate(self._found)}
        for name, texts in written.items():
            text = _NUMBER.sub(lambda match: names.get(match[1], match[0]), "\n".join(texts))
            parts[name] = _digest(text, _PART_BYTES)
        parts |= {PACKAGE + name: version.encode() for name, version in packages.items()}
        reads = (read for read in self._reads.values() if (id(read.namespace), read.variable) not in self._filled)
        return Code(_SCHEME + _digest("\n".join(lines), 7), parts, tuple(reads))

    def _write(self, thing: Any) -> Iterator[tuple[str, str]]:
        """Yield the text of one definition, and what each free name in it stands for, after the name."""
        if type(thing) is Bound:
            for statement in thing.statements:
                text, chains = read(statement)
                yield "", text
                for chain in chains:
                    found = thing.leads(chain)
                    yield _dotted(chain), f"{_dotted(chain)} = {self._described(found)}"
            return
        place = _Place(thing)
        for definition in place.definitions:
            text, chains = read(definition)
            yield "", text
            for chain in chains:
                yield _dotted(chain), f"{_dotted(chain)} = {self._refer(chain, place)}"
            self._filled.update((id(place.namespace), name) for name in changed_by(definition))
        if not place.definitions:
            items = [*_dictionary(thing).items()]  # for a class: its methods, constants and annotations
            kept = {name: v for name, v in items if name[:2] != "__" or type(v) is FunctionType or "annot" in name}
            yield "", f"{thing.__qualname__} {self._describe(getattr(thing, '__code__', kept))}"

    def _refer(self, chain: Chain, place: _Place) -> str:
        """Return as text what a dotted name in one definition stands for."""
        name, *rest = chain
        if name == IMPORT:
            return self._described(leads_of_import(rest[0], (*rest[1:],), module_of(place.namespace).package))
        if name in place.cells:
            value, source = place.cells[name], place.source
            if name in source.rebound:
                return "variable"
            if _kind(value).__hash__ is None:  # it is mutable, and may have changed
                is_known = place.thing is self._function and name not in source.filled
                return self._around.get(name, "variable") if is_known else "variable"
            return self._seen(value, rest, by_content=True)
        if name in (SELF, SUPER):
            return self._seen(place.owner, rest, of_instance=True, above=name == SUPER)
        return self._refer_to_global(name, rest, place)

    def _refer_to_global(self, name: str, rest: list[str], place: _Place) -> str:
        source, namespace = place.source, place.namespace
        value = namespace.get(name, _MISSING)
        while rest and issubclass(_kind(value), ModuleType) and is_own(_dictionary(value)):
            namespace, name = _dictionary(value), rest.pop(0)
            source, value = source_of(namespace.get("__file__"), namespace), namespace.get(name, _MISSING)
        if value is _MISSING:
            return ""  # a builtin, or nothing
        self._note_read(namespace, name, value)
        if name in source.variables and not (_kind(value) in _METHODS or issubclass(_kind(value), type)):
            return "variable"
        text = self._seen(value, rest)
        if self._is_whole:
            return text
        # An object may differ in each process, and may change. The statements that make it are code.
        made = self._described(leads(module_of(namespace), (name, *rest)))
        return f"{text} {made}" if made else self._seen(value, rest, by_content=True)

    def _seen(
        self,
        value: Any,
        rest: list[str],
        *,
        by_content: bool = False,
        of_instance: bool = False,
        above: bool = False,
    ) -> str:
        """Return as text what a value is or, if it is a class of the project, what its attribute is.

        Args:
            value: What a name stands for.
            rest: The names after that one.
            by_content: Objects in it that cannot change are told by their content, too.
            of_instance: It is the class of which an instance has the attribute.
            above: The attribute is that of a base class.
        """
        self._is_whole, self._by_content = True, by_content
        if rest and issubclass(_kind(value), type) and is_own(_namespace(value)):
            attribute = _attribute(value, rest[0], above=above)
            if attribute is _MISSING and of_instance:
                return ""
            if type(attribute) in {*_SIMPLE, *_METHODS, *_CONTAINERS}:
                text = self._describe(attribute)
                if self._is_whole:
                    return text
                self._is_whole = True  # the text of the class has what makes the attribute
        return self._describe(value)

    def _described(self, found: Iterable[Bound | str]) -> str:
        return " ".join(each if isinstance(each, str) else self._number(each.key, each) for each in found)

    def _note_read(self, namespace: Mapping[str, Any], variable: str, value: object) -> None:
        kind = _kind(value)
        if kind not in _CODE and not issubclass(kind, (type, ModuleType)) and is_own(namespace):
            name = f"{module_name(str(namespace.get('__name__')))}.{variable}"
            self._reads[name] = Read(name, namespace, variable)

    def _describe(self, value: Any) -> str:
        """Return a value as text; functions and classes of the project are noted, to be written down themselves."""
        kind = _kind(value)
        if kind in _SIMPLE:
            return text_of(value)
        if id(value) in self._inside or len(self._inside) > _NESTING:
            return str(kind.__name__)  # it contains itself, or is nested too deeply
        self._inside.add(id(value))
        thing = value if kind is FunctionType or issubclass(kind, type) else kind
        inside = _parts(value)
        parts = ", ".join(map(self._describe, inside))
        if kind is FunctionType:
            self._is_whole = self._is_whole and not _has_variables(value)
        elif not inside and kind not in _CODE | _CONTAINERS and not issubclass(kind, (type, ModuleType)):
            parts = digest_of_small(value) if self._by_content and _is_constant(value) else ""
            self._is_whole = self._is_whole and kind.__module__.partition(".")[0] == "skipstone"
        if is_own(_namespace(thing)):
            text = f"{self._number(id(thing), thing)}({parts})"
        else:  # a foreign wrapper adds nothing: the tree of what it wraps has it as a decorator
            text = parts if kind is FunctionType and parts else f"{_name(value)}({parts})"
        self._inside.discard(id(value))
        return text

    def _number(self, key: Hashable, thing: object) -> str:
        """Return the reference to a definition, which is written down elsewhere."""
        if key not in self._numbers:
            self._numbers[key] = len(self._found)
            self._found.append(thing)
        return f"#{self._numbers[key]}"


class _Place:
    """The definitions of a function or class, and where the names in them are looked up."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.namespace = _namespace(thing)
        self.cells: dict[str, Any] = {}
        self.owner: Any = None  # the class whose method this is
        if type(thing) is not FunctionType:
            self.source = source_of(self.namespace.get("__file__"), self.namespace)
            self.definitions = self.source.definitions.get(thing.__qualname__, [])
            return
        code = thing.__code__
        self.source = source_of(code.co_filename, self.namespace)
        self.definitions = self.source.definitions_of(code)
        self.cells = closure_of(thing)
        first, *rest = code.co_qualname.split(".")
        owner = self.namespace.get(first)
        for name in rest[:-1]:
            owner = _attribute(owner, name)
        if rest and issubclass(type(owner), type) and type(_dictionary(owner).get(rest[-1])) is not staticmethod:
            self.owner = owner


def _digest(text: str, size_bytes: int) -> bytes:
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=size_bytes).digest()


def _full_name(thing: Any) -> str:
    """Return `module.qualname` of a function, class or name, also if its module runs as `__main__`."""
    if type(thing) is Bound:
        return f"{thing.module.name}.{thing.name}"
    return f"{module_name(str(_namespace(thing).get('__name__')))}.{thing.__qualname__}"


def _namespace(thing: Any) -> Any:
    """Return the dictionary of the module in which a function or class was defined."""
    if type(thing) is FunctionType:
        return thing.__globals__
    module = getattr(thing, "__module__", None)
    return _dictionary(sys.modules.get(str(module))) or {"__name__": module}


def _kind(value: object) -> type[Any]:
    """Return a value's type. `isinstance` would also ask for `value.__class__`, for which a proxy runs code."""
    return type(value)


def _dictionary(value: object) -> Any:
    """Return `value.__dict__` without running the code with which a lazy module or a proxy would answer."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def _attribute(cls: Any, name: str, *, above: bool = False) -> Any:
    """Look a name up in a class and its bases; with `above`, only in the bases, as `super()` does."""
    if name.startswith("__") and not name.endswith("__"):
        name = f"_{cls.__name__.lstrip('_')}{name}"
    bases: list[Any] = list(cls.__mro__[above:]) if issubclass(type(cls), type) else []
    return next((_dictionary(base)[name] for base in bases if name in _dictionary(base)), _MISSING)


def _parts(value: Any) -> list[Any]:
    """Return the contents of a container or a wrapper, always in the same order."""
    kind = _kind(value)
    if kind in {tuple, list}:
        return [*value]
    if kind in (set, frozenset):
        return sorted(value, key=_order)
    if kind is dict:
        return [part for item in sorted(value.items(), key=lambda item: _order(item[0])) for part in item]
    if kind is CodeType:
        return [value.co_names, tuple(constant for constant in _constants(value) if constant is not None)]
    if (kind.__module__, kind.__name__) == ("re", "Pattern"):
        return [value.pattern, value.flags]
    if kind in (MethodType, partial, *_METHODS - {FunctionType}):
        return [getattr(value, name) for name in _WRAPPED if hasattr(kind, name)]
    own = _dictionary(value)
    if "__wrapped__" not in own:
        return []
    overloads = own.get("registry")  # of functools.singledispatch
    return [own["__wrapped__"], *(_parts(dict(overloads)) if type(overloads) is MappingProxyType else ())]


def _constants(code: CodeType) -> tuple[object, ...]:
    """Return the constants of compiled code without its docstring, of which Python 3.13 strips the indentation.

    Since Python 3.14, small integers are in the instructions rather than among the constants.
    """
    from opcode import opmap

    small, steps = opmap.get("LOAD_SMALL_INT"), code.co_code
    return (
        *code.co_consts[_has_docstring(code) :],
        *(steps[at + 1] for at in range(0, len(steps), 2) if steps[at] == small),
    )


def _has_docstring(code: CodeType) -> bool:
    """Tell whether the first constant of compiled code is a docstring."""
    if _TELLS_DOCSTRINGS:
        return bool(code.co_flags & _HAS_DOCSTRING)
    # Before 3.14, the first constant of a `def` is its docstring or None; lambdas and comprehensions have neither.
    is_statement = code.co_flags & _IS_FUNCTION and not code.co_name.startswith("<")
    return bool(is_statement) and type(code.co_consts[0]) is str


def _has_variables(function: FunctionType) -> bool:
    return any(_kind(value).__hash__ is None for value in closure_of(function).values())


def _is_constant(value: object) -> bool:
    # Mutable objects have no hash, or that of their address.
    return type(value).__hash__ not in (None, object.__hash__)


def _dotted(chain: Chain) -> str:
    return ".".join(chain[1:] if chain[0] == IMPORT else chain)


def _order(value: Any) -> str:
    if _kind(value) in (tuple, frozenset):
        return f"({' '.join(sorted(map(_order, value)))})"
    return text_of(value) if _kind(value) in _SIMPLE else _name(value)


def _name(value: Any) -> str:
    kind = _kind(value)
    if issubclass(kind, ModuleType):
        return str(_dictionary(value).get("__name__"))
    builtin = kind.__module__ == "builtins" or issubclass(kind, type)
    thing: Any = value if builtin and hasattr(value, "__qualname__") else kind
    package = str(getattr(thing, "__module__", None)).partition(".")[0]  # its submodules differ between versions
    return f"{package}.{thing.__qualname__}"
