"""Fingerprint of the code that a function runs: its syntax tree, and those of what it refers to.

A fingerprint is the digest of one text. Each definition that is found, the function itself first, is
written down as what counts of its tree, followed by what the free names in it stand for: a value, the
name of something foreign, or the number of another definition, which is written down in its turn.
Nothing of the user's runs on the way: names are looked up in the dictionaries of modules and classes.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
import warnings
from _blake2 import blake2b  # what hashlib has, which loads OpenSSL as well: 3 ms
from _thread import LockType, allocate_lock
from contextlib import suppress
from functools import cache, cached_property, partial
from types import CodeType, FunctionType, MethodType, ModuleType

TYPE_CHECKING = False  # as in `typing`, without the cost of importing it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeAlias

    Chain: TypeAlias = tuple[str, ...]  # a dotted name: ("settings", "PROMPT")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = {*_FUNCTIONS, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp}
_NAMED = (*_FUNCTIONS, ast.ClassDef, ast.alias, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_binding_fields: dict[type[ast.AST], str] = dict.fromkeys(_NAMED, "name")
_binding_fields |= {ast.arg: "arg", ast.MatchMapping: "rest", ast.Global: "names", ast.Nonlocal: "names"}
_OUTSIDE = {"decorator_list", "bases", "keywords", "defaults", "kw_defaults"}  # run where a scope is made
_NO_CODE = {"ctx", "kind", "type_comment", "type_params", "returns", "annotation"}
_FILLING = {"add", "append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
_SIMPLE = {type(None), bool, int, float, complex, str, bytes, type(...)}
_METHODS = {FunctionType, staticmethod, classmethod, property, cached_property}
_WRAPPED = ("__wrapped__", "__func__", "func", "fget", "fset", "fdel", "args", "keywords")
_SELF, _SUPER = "<self>", "<super>"  # in chains: a method's first parameter, and a call of `super()`
_NESTING = 50  # containers in containers that are looked into
_MISSING = object()
_STANDARD_LIBRARY = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
_SCHEME = b"\x01"  # to be counted up when the same code gets another digest: then nobody's code has changed


def fingerprint(function: Callable[..., object]) -> bytes:
    """Return 8 bytes that change when the code that a function runs does; the first one says how they are made.

    They are the same in every process and Python version. Comments, docstrings, formatting and the
    annotations of functions do not count, nor does code outside the user's project, except by name.
    """
    return _Walk().digest(function)


class _Walk:
    """One fingerprint in the making: the definitions found so far, numbered in the order of discovery."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._found: list[Any] = []  # functions and classes; kept alive, so that an id stays theirs
        self._inside: set[int] = set()

    def digest(self, function: object) -> bytes:
        lines = [self._describe(function)]
        for thing in self._found:  # grows meanwhile
            lines += self._write(thing)
        return _SCHEME + blake2b("\n".join(lines).encode("utf-8", "backslashreplace"), digest_size=7).digest()

    def _write(self, thing: Any) -> Iterator[str]:
        """Write down one definition, and what the free names in it stand for."""
        place = _Place(thing)
        for definition in place.definitions:
            text, chains = _read(definition)
            yield text
            for chain in chains:
                yield f"{'.'.join(chain)} = {self._refer(chain, place)}"
        if not place.definitions:
            items = [*_dictionary(thing).items()]  # of a class, its methods, constants and annotations
            kept = {name: v for name, v in items if name[:2] != "__" or type(v) is FunctionType or "annot" in name}
            yield f"{thing.__qualname__} {self._describe(getattr(thing, '__code__', kept))}"

    def _refer(self, chain: Chain, place: _Place) -> str:
        """Say what a dotted name stands for, as seen from one definition."""
        name, *rest = chain
        source, value = place.source, place.owner
        if name in place.cells:
            value = place.cells[name]
            if name in source.variables or _kind(value) in {list, dict, set}:
                return "variable"
        elif name not in (_SELF, _SUPER):
            value = place.namespace.get(name, _MISSING)
            while rest and issubclass(_kind(value), ModuleType) and _is_own(_dictionary(value)):
                namespace, name = _dictionary(value), rest.pop(0)
                source, value = _source(namespace.get("__file__"), namespace), namespace.get(name, _MISSING)
            if value is _MISSING:
                return ""  # a builtin, or nothing
            if name in source.variables and not (_kind(value) in _METHODS or issubclass(_kind(value), type)):
                return "variable"
        if rest and issubclass(_kind(value), type) and _is_own(_namespace(value)):
            attribute = _attribute(value, rest[0], above=name == _SUPER)
            if attribute is _MISSING and name in (_SELF, _SUPER):
                return ""  # it belongs to the instance
            if type(attribute) in {*_SIMPLE, *_METHODS, list, dict, set, tuple, frozenset}:
                value = attribute
        return self._describe(value)

    def _describe(self, value: Any) -> str:
        """Say what a value is; functions and classes of the project are followed."""
        kind = _kind(value)
        if kind in _SIMPLE:
            return _text(value)
        if id(value) in self._inside or len(self._inside) > _NESTING:
            return str(kind.__name__)  # contains itself
        self._inside.add(id(value))
        thing = value if kind is FunctionType or issubclass(kind, type) else kind
        parts = ", ".join(map(self._describe, _parts(value)))
        if _is_own(_namespace(thing)):
            if id(thing) not in self._numbers:
                self._numbers[id(thing)] = len(self._found)
                self._found.append(thing)
            text = f"#{self._numbers[id(thing)]}({parts})"
        else:  # a foreign wrapper adds nothing: as a decorator it is in the tree of what it wraps
            text = parts if kind is FunctionType and parts else f"{_name(value)}({parts})"
        self._inside.discard(id(value))
        return text


class _Place:
    """Where the names in a function or class are looked up."""

    def __init__(self, thing: Any) -> None:
        self.namespace = _namespace(thing)
        self.cells: dict[str, Any] = {}
        self.owner: Any = None  # the class whose method this is
        if type(thing) is not FunctionType:
            self.source = _source(self.namespace.get("__file__"), self.namespace)
            self.definitions = self.source.definitions.get(thing.__qualname__, [])
            return
        code = thing.__code__
        self.source = _source(code.co_filename, self.namespace)
        self.definitions = self.source.definitions_of(code)
        for name, cell in zip(code.co_freevars, thing.__closure__ or (), strict=False):
            with suppress(ValueError):  # not assigned yet
                self.cells[name] = cell.cell_contents
        first, *rest = code.co_qualname.split(".")
        owner = self.namespace.get(first)
        for name in rest[:-1]:
            owner = _attribute(owner, name)
        if rest and issubclass(type(owner), type) and type(_dictionary(owner).get(rest[-1])) is not staticmethod:
            self.owner = owner


def _is_own(namespace: Any) -> bool:
    """Whether a module is part of the user's project, so that its code counts."""
    package, file = str(namespace.get("__name__")).partition(".")[0], namespace.get("__file__")
    if package == "skipstone" or not file:  # without a file: `__main__` in a notebook is the user's own
        return package not in {"skipstone", *sys.stdlib_module_names}
    return _is_own_file(str(file))


@cache
def _is_own_file(file: str) -> bool:
    path = os.path.realpath(file)
    installed = {"site-packages", "dist-packages"}.intersection(path.split(os.sep))
    return not installed and not path.startswith(_STANDARD_LIBRARY)


def _namespace(thing: Any) -> Any:
    """Return the dictionary of the module in which a function or class was defined."""
    if type(thing) is FunctionType:
        return thing.__globals__
    module = getattr(thing, "__module__", None)
    return _dictionary(sys.modules.get(str(module))) or {"__name__": module}


def _kind(value: object) -> type[Any]:
    """Return a value's type. `isinstance` would ask for `value.__class__`, and a proxy run code to answer."""
    return type(value)


def _dictionary(value: object) -> Any:
    """Return `value.__dict__`, without what a lazy module or a proxy does when it is asked."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def _attribute(cls: Any, name: str, *, above: bool = False) -> Any:
    """Look a name up in a class and its bases, or like `super()` only in these."""
    if name.startswith("__") and not name.endswith("__"):
        name = f"_{cls.__name__.lstrip('_')}{name}"
    bases: list[Any] = list(cls.__mro__[above:]) if issubclass(type(cls), type) else []
    return next((_dictionary(base)[name] for base in bases if name in _dictionary(base)), _MISSING)


def _parts(value: Any) -> list[Any]:
    """Return what is inside a container or a wrapper, in an order that is always the same."""
    kind = _kind(value)
    if kind in (tuple, list):
        return [*value]
    if kind in (set, frozenset):
        return sorted(value, key=_order)
    if kind is dict:
        return [part for item in sorted(value.items(), key=lambda item: _order(item[0])) for part in item]
    if kind is CodeType:
        return [value.co_names, tuple(constant for constant in value.co_consts if constant is not None)]
    if (kind.__module__, kind.__name__) == ("re", "Pattern"):
        return [value.pattern, value.flags]
    if kind in (MethodType, partial, *_METHODS - {FunctionType}):
        return [getattr(value, name) for name in _WRAPPED if hasattr(kind, name)]
    return [_dictionary(value)["__wrapped__"]] if "__wrapped__" in _dictionary(value) else []


def _order(value: Any) -> str:
    if _kind(value) in (tuple, frozenset):
        return f"({' '.join(sorted(map(_order, value)))})"
    return _text(value) if _kind(value) in _SIMPLE else _name(value)


def _text(value: object) -> str:
    # `ascii`: what `repr` escapes depends on the Python version. `hex`: decimal digits are limited.
    return hex(value) if type(value) is int else ascii(value)


def _name(value: Any) -> str:
    kind = _kind(value)
    if issubclass(kind, ModuleType):
        return str(_dictionary(value).get("__name__"))
    builtin = kind.__module__ == "builtins" or issubclass(kind, type)
    thing: Any = value if builtin and hasattr(value, "__qualname__") else kind
    package = str(getattr(thing, "__module__", None)).partition(".")[0]  # what is below differs by version
    return f"{package}.{thing.__qualname__}"


class _Source:
    """The definitions in one source file, and the names in it that are no constants."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self.definitions: dict[str, list[Any]] = {}  # by qualified name
        self.variables: set[str] = set()  # assigned or filled by functions: their value depends on the moment
        todo: list[tuple[Any, str]] = [(tree, "")]
        while todo:
            block, prefix = todo.pop()
            if isinstance(block, (*_FUNCTIONS, ast.ClassDef)):
                self.definitions.setdefault(prefix + block.name, []).append(block)
                prefix += f"{block.name}." if isinstance(block, ast.ClassDef) else f"{block.name}.<locals>."
            elif "<locals>" in prefix:
                self.variables.update(_assigned_elsewhere(block))
            for field in ("body", "handlers", "orelse", "finalbody", "cases"):
                todo += [(child, prefix) for child in getattr(block, field, ())]

    def definitions_of(self, code: CodeType) -> list[Any]:
        """Return the definition that `code` was compiled from; of lambdas, all that are on its line."""
        found = self.definitions.get(code.co_qualname, [])
        if code.co_name == "<lambda>":
            found = [node for node in ast.walk(self._tree) if isinstance(node, ast.Lambda)]
        lines = ([node, *getattr(node, "decorator_list", ())][:2][-1].lineno for node in found)
        return [node for node, line in zip(found, lines, strict=True) if line == code.co_firstlineno]


def _assigned_elsewhere(statement: Any) -> Iterator[str]:
    """Yield the names in a function's statement whose values it replaces or fills, of a module perhaps."""
    yield from getattr(statement, "names", ()) if isinstance(statement, (ast.Global, ast.Nonlocal)) else ()
    filled: list[Any] = [*getattr(statement, "targets", ()), getattr(statement, "target", None)]
    filled = [target.value for target in filled if isinstance(target, ast.Subscript)]
    call = getattr(statement, "value", None)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _FILLING:
        filled.append(call.func.value)
    yield from (node.id for node in filled if isinstance(node, ast.Name))


_sources: dict[tuple[str, int], tuple[object, _Source]] = {}
_locks: dict[int, LockType] = {}  # by process: one that is held during a fork is never released in the child


def _source(file: Any, namespace: Any) -> _Source:
    """Return a source file as it was when first asked for, or since its module was reloaded."""
    spec = namespace.get("__spec__")  # another one after a reload
    key = (str(file or ""), id(spec))
    with _locks.setdefault(os.getpid(), allocate_lock()):
        if key not in _sources:
            linecache.checkcache(key[0])
            # The loader, for a module in a zip file, is asked about the module's own file only.
            lines = linecache.getlines(key[0], namespace if namespace.get("__file__") == file else None)
            with warnings.catch_warnings(action="ignore"):  # what is wrong in a literal was said at import
                try:
                    tree = ast.parse("".join(lines))
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    tree = ast.Module([], [])
            _sources[key] = (spec, _Source(tree))
        return _sources[key][1]


class _Scope:
    """The names that one function, class or comprehension binds."""

    def __init__(self, outer: _Scope | None, node: Any) -> None:
        self.outer, self.is_class = outer, isinstance(node, ast.ClassDef)
        arguments = [*node.args.posonlyargs, *node.args.args] if hasattr(node, "args") else []
        self.first = arguments[0].arg if arguments else None
        self.bound: set[str] = set()
        self.elsewhere: set[str] = set()  # declared `global` or `nonlocal`, which comes before they are used

    def bind(self, node: Any, field: str) -> None:
        if field == "names":
            self.elsewhere.update(node.names)
        elif name := getattr(node, "asname", None) or getattr(node, field):
            self.bound.update({name.partition(".")[0]} - self.elsewhere)


@cache
def _read(definition: Any) -> tuple[str, list[Chain]]:
    """Return a tree as text, and the free names in it.

    The stack is explicit: a tree can be deeper than the recursion limit, and how much of that is left
    depends on the caller. `ast.dump` would not do: its output differs between Python versions.
    """
    words: list[str] = []
    uses: list[tuple[Chain, _Scope]] = []
    stack: list[Any] = [(definition, _Scope(None, None))]
    while stack:
        node, scope = stack.pop()
        if scope is None:
            words.append(node)
        elif chain := _chain(node):
            words.append(".".join(chain))
            if isinstance(node.ctx, ast.Load):
                uses.append((chain, scope))
            elif len(chain) == 1:
                scope.bind(node, "id")
        elif isinstance(node, ast.Constant):
            words.append(_text(node.value))
        else:
            if type(node) in _binding_fields:
                scope.bind(node, _binding_fields[type(node)])
            inner = _Scope(scope, node) if type(node) in _SCOPES else scope
            stack += reversed(_children(node, scope, inner))
    return " ".join(words), [*dict.fromkeys(filter(None, (_free(chain, scope) for chain, scope in uses)))]


def _free(chain: Chain, scope: _Scope) -> Chain:
    """Return a dotted name that is free where it is used, or that starts at a method's first parameter."""
    binder: _Scope | None = scope
    while binder and (chain[0] not in binder.bound or (binder.is_class and binder is not scope)):
        binder = binder.outer
    if binder is None or not binder.outer:
        return chain
    name, *rest = chain
    is_self = name == binder.first and binder.outer.outer is None and (rest or name == "cls")
    return (_SELF, *rest) if is_self else ()


def _children(node: ast.AST, scope: _Scope, inner: _Scope) -> list[tuple[Any, Any]]:
    """Return what counts of a node: words (`*` for the key in `{**a}`) and nodes with their scopes."""
    if isinstance(node, ast.AnnAssign) and not scope.is_class:
        node = ast.Assign([node.target], node.value or node.target)
    outside = scope.outer if isinstance(node, ast.arguments) else scope
    kind = type(node).__name__  # in a class, an annotation is data: the field of a model
    children: list[tuple[Any, Any]] = [(f"({kind}", None)]
    for field in node._fields:
        value: Any = getattr(node, field, None)
        if not value or (field in _NO_CODE and kind != "AnnAssign") or (field == "name" and not scope.outer):
            continue
        parts: list[Any] = [*value] if type(value) is list else [value]
        parts = [part for part in parts if not _is_idle(part, node, field, in_class=inner.is_class)]
        if parts:
            place = outside if field in _OUTSIDE else inner
            children.append((f":{field}", None))
            children += [
                (part, place) if isinstance(part, ast.AST) else (str(part or "*"), None) for part in parts
            ]
    return [*children, (")", None)]


def _is_idle(part: Any, parent: ast.AST, field: str, *, in_class: bool) -> bool:
    """Whether one of a node's parts does nothing, or is skipstone's decorator."""
    if isinstance(part, ast.stmt):
        if isinstance(part, ast.AnnAssign):
            return part.value is None and not in_class
        return isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
    if field == "decorator_list":
        chain = _chain(part.func if isinstance(part, ast.Call) else part)
        return chain[:1] == ("skipstone",) or chain[-1:] == ("cache_with_checkpoint",)
    # Some versions leave empty texts in an f-string.
    return isinstance(parent, ast.JoinedStr) and isinstance(part, ast.Constant) and part.value == ""


def _chain(node: Any) -> Chain:
    """Return `a.b.c` as its names; nothing if the expression is no dotted name."""
    names: list[str] = []
    while type(node) is ast.Attribute:
        names.append(node.attr)
        node = node.value
    if type(node) is ast.Name:
        return (node.id, *reversed(names))
    is_super = names and type(node) is ast.Call and getattr(node.func, "id", "") == "super"
    return (_SUPER, *reversed(names)) if is_super else ()
