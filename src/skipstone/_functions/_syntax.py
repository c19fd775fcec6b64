"""Read source files as syntax trees: for each definition, what counts as its code, and the names that it refers to."""

from __future__ import annotations

import ast
import linecache
import os
import warnings
from _thread import RLock
from collections.abc import Iterator
from functools import cache, cached_property
from types import CodeType
from typing import Any, TypeAlias

Chain: TypeAlias = tuple[str, ...]
"""A dotted name: ("settings", "PROMPT")."""

SELF, SUPER, IMPORT = "<self>", "<super>", "<import>"
"""In chains: a method's first parameter, a call of `super()`, and what a function imports, followed by the module's name."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_FORKS = (ast.Module, ast.If, ast.Try, ast.TryStar, ast.ExceptHandler, ast.Match, ast.match_case)
_SCOPES = {*_FUNCTIONS, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp}
_NAMED = (*_FUNCTIONS, ast.ClassDef, ast.alias, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_binding_fields: dict[type[ast.AST], str] = dict.fromkeys(_NAMED, "name")
_binding_fields |= {ast.arg: "arg", ast.MatchMapping: "rest", ast.Global: "names", ast.Nonlocal: "names"}
_OUTSIDE = {"decorator_list", "bases", "keywords", "defaults", "kw_defaults"}  # evaluated outside the new scope
_NO_CODE = {"ctx", "kind", "type_comment", "type_params", "returns", "annotation"}
_FILLING = {"add", "append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def text_of(value: object) -> str:
    """Return a constant as text, the same in every version of Python."""
    # `ascii`, since what `repr` escapes depends on the Python version; `hex`, since decimal digits are limited in number.
    return hex(value) if type(value) is int else ascii(value)


def parsed(text: str, mode: str = "exec") -> Any:
    """Return the syntax tree of a text.

    Raises:
        SyntaxError: The text is not Python.
        ValueError: The text has a NUL.
        RecursionError: The text is nested too deeply.
        MemoryError: The text is nested even more deeply.
    """
    while True:
        try:
            return ast.parse(text, mode=mode)
        except SystemError as error:
            # Python 3.11 has one depth counter for all trees. Garbage collection may run while one tree is made, and a
            # finalizer make another, which confuses the counter. So try again.
            if "recursion depth mismatch" not in str(error):
                raise


class Source:
    """The definitions in one source file, and the names in it that are not constants."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self.definitions: dict[str, list[Any]] = {}  # by qualified name
        self.variables = set(changed_by(tree))
        """Names whose values depend on the moment."""
        self.rebound: set[str] = set()
        """Names that nested functions rebind."""
        self.filled: set[str] = set()
        """Names whose values some function fills or changes, whether they are local to it or not."""
        todo: list[tuple[Any, str]] = [(tree, "")]
        while todo:
            block, prefix = todo.pop()
            if isinstance(block, (*_FUNCTIONS, ast.ClassDef)):
                self.definitions.setdefault(prefix + block.name, []).append(block)
                prefix += f"{block.name}." if isinstance(block, ast.ClassDef) else f"{block.name}.<locals>."
            elif "<locals>" in prefix:
                self.rebound.update(block.names if isinstance(block, ast.Nonlocal) else ())
                self.filled.update(_filled_by(block, attributes=True))
            todo += [(child, prefix) for child in _children_blocks(block)]

    @cached_property
    def bindings(self) -> dict[str, list[Any]]:
        """By name, the statements outside of functions that bind it or change its value."""
        found: dict[str, list[Any]] = {}
        todo: list[Any] = [self._tree]
        while todo:
            block = todo.pop()
            if isinstance(block, _FORKS):  # which branch is taken is not known
                todo += reversed(_children_blocks(block))
                continue
            for name in dict.fromkeys(_bound_by(block)):
                found.setdefault(name, []).append(block)
        return found

    def definitions_of(self, code: CodeType) -> list[Any]:
        """Return the definition that `code` was compiled from; for a lambda, all lambdas on its line."""
        found = self.definitions.get(code.co_qualname, [])
        if code.co_name == "<lambda>":
            found = [node for node in ast.walk(self._tree) if isinstance(node, ast.Lambda)]
        lines = ([node, *getattr(node, "decorator_list", ())][:2][-1].lineno for node in found)
        return [node for node, line in zip(found, lines, strict=True) if line == code.co_firstlineno]


def changed_by(block: Any) -> Iterator[str]:
    """Yield the names in a module that functions in one of its blocks rebind, or whose values they fill."""
    todo: list[tuple[Any, frozenset[str]]] = [(block, frozenset())]
    while todo:
        function, hidden = todo.pop()
        inside = _within(function)
        is_function = isinstance(function, _FUNCTIONS)
        if is_function:
            elsewhere = {name for node in inside if isinstance(node, ast.Global) for name in node.names}
            yield from elsewhere
            own = {name for node in inside for name in _bound_by(node, attributes=False)}
            own |= {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
            hidden = (hidden | own) - elsewhere
        for node in inside:
            if isinstance(node, _FUNCTIONS):
                todo.append((node, hidden))
            elif is_function:
                yield from (name for name in _filled_by(node) if name not in hidden)


def _filled_by(statement: Any, *, attributes: bool = False) -> Iterator[str]:
    """Yield the names whose values a statement fills; with `attributes`, also those that it changes in other ways."""
    changing = (ast.Subscript, ast.Attribute) if attributes else ast.Subscript
    filled: list[Any] = [target.value for target in _targets(statement) if isinstance(target, changing)]
    if attributes and isinstance(statement, ast.AugAssign):
        filled.append(statement.target)
    call = getattr(statement, "value", None)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _FILLING:
        filled.append(call.func.value)
    yield from (node.id for node in filled if isinstance(node, ast.Name))


def _bound_by(statement: Any, *, attributes: bool = True) -> Iterator[str]:
    """Yield the names that a statement binds.

    Args:
        statement: Of the blocks in it, only the heads are looked at.
        attributes: Also names of things of which it assigns an attribute or an item.
    """
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler)):
        yield from (statement.name,) if statement.name else ()
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    for target in _targets(statement):
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and (attributes or not isinstance(node.ctx, ast.Load)):
                yield node.id


def _targets(statement: Any) -> list[Any]:
    items = [item.optional_vars for item in getattr(statement, "items", ()) if isinstance(item, ast.withitem)]
    found = [*getattr(statement, "targets", ()), getattr(statement, "target", None), *items]
    return [target for target in found if target is not None]


def _children_blocks(block: Any) -> list[Any]:
    return [child for field in _BLOCKS for child in getattr(block, field, ())]


def _within(block: Any) -> list[Any]:
    """Return the statements in a block and in its inner blocks, except those in functions."""
    found: list[Any] = []
    todo = [block]
    while todo:
        children = [] if isinstance(block := todo.pop(), ast.Lambda) else _children_blocks(block)
        found += children
        todo += [child for child in children if not isinstance(child, _FUNCTIONS)]
    return found


_sources: dict[tuple[str, int], tuple[object, Source]] = {}
# By process, since a lock held during a fork is never released in the child. Reentrant, since reading a file makes
# enough objects to set off garbage collection, in which a generator that ends may call a function whose source is read.
_locks: dict[int, RLock] = {}


def source_of(file: Any, namespace: Any) -> Source:
    """Return a source file as it was when first asked for, or when first asked for after a reload of its module."""
    spec = namespace.get("__spec__")  # a module that is reloaded gets a new one
    key = (str(file or ""), id(spec))
    with _locks.setdefault(os.getpid(), RLock()):
        if key not in _sources:
            linecache.checkcache(key[0])
            # The namespace has the loader of a module in a zip file, which may be asked only for that module's file.
            lines = linecache.getlines(key[0], namespace if namespace.get("__file__") == file else None)
            with warnings.catch_warnings(action="ignore"):  # the import has warned already
                try:
                    tree = parsed("".join(lines))
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    tree = ast.Module([], [])
            _sources.setdefault(key, (spec, Source(tree)))
        return _sources[key][1]


class _Scope:
    """The names that one function, class or comprehension binds."""

    def __init__(self, outer: _Scope | None, node: Any) -> None:
        self.outer, self.is_class = outer, isinstance(node, ast.ClassDef)
        arguments = [*node.args.posonlyargs, *node.args.args] if hasattr(node, "args") else []
        self.first = arguments[0].arg if arguments else None
        self.bound: set[str] = set()
        self.elsewhere: set[str] = set()  # declared `global` or `nonlocal`: the declaration precedes any use
        self.imports: dict[str, Chain] = {}

    def bind(self, node: Any, field: str) -> None:
        if field == "names":
            self.elsewhere.update(node.names)
        elif name := getattr(node, "asname", None) or getattr(node, field):
            self.bound.update({name.partition(".")[0]} - self.elsewhere)


@cache
def read(definition: Any) -> tuple[str, list[Chain]]:
    """Return a tree as text, and the free names in it.

    The stack is explicit because a tree can be deeper than the recursion limit, and how much of that is left depends on
    the caller. `ast.dump` would not do because its output differs between Python versions.
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
            words.append(text_of(node.value))
        else:
            if type(node) in _binding_fields:
                scope.bind(node, _binding_fields[type(node)])
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                scope.imports.update(imported_by(node))
            inner = _Scope(scope, node) if type(node) in _SCOPES else scope
            stack += reversed(_children(node, scope, inner))
    return " ".join(words), [*dict.fromkeys(filter(None, (_free(chain, scope) for chain, scope in uses)))]


def imported_by(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Chain]]:
    """Yield the names that an import binds, each with the module and the name in it that it is bound to."""
    module = f"{'.' * statement.level}{statement.module or ''}" if isinstance(statement, ast.ImportFrom) else ""
    for alias in statement.names:
        name = alias.asname or alias.name.partition(".")[0]
        yield name, (module, alias.name) if module else (alias.name if alias.asname else name,)


def _free(chain: Chain, scope: _Scope) -> Chain:
    """Return a dotted name if it is free where it is used, or begins with a method's first parameter; else ()."""
    binder: _Scope | None = scope
    while binder and (chain[0] not in binder.bound or (binder.is_class and binder is not scope)):
        binder = binder.outer
    if binder is None or not binder.outer:
        return chain
    name, *rest = chain
    if name in binder.imports:
        return (IMPORT, *binder.imports[name], *rest)
    is_self = name == binder.first and binder.outer.outer is None and (rest or name == "cls")
    return (SELF, *rest) if is_self else ()


def _children(node: ast.AST, scope: _Scope, inner: _Scope) -> list[tuple[Any, Any]]:
    """Return the parts of a node that count: words (`*` for the key in `{**a}`), and nodes with their scopes."""
    if isinstance(node, ast.AnnAssign) and not scope.is_class:
        node = ast.Assign([node.target], node.value or node.target)
    outside = scope.outer if isinstance(node, ast.arguments) else scope
    kind = type(node).__name__  # annotations in a class count: they are data, such as the fields of a model
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
    """Tell whether a part of a node does nothing, or is skipstone's decorator."""
    if isinstance(part, ast.stmt):
        if isinstance(part, ast.AnnAssign):
            return part.value is None and not in_class
        return isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
    if field == "decorator_list":
        chain = _chain(part.func if isinstance(part, ast.Call) else part)
        return chain[:1] == ("skipstone",) or chain[-1:] == ("cache_with_checkpoint",)
    # Some versions of Python leave empty texts in an f-string.
    return isinstance(parent, ast.JoinedStr) and isinstance(part, ast.Constant) and part.value == ""


def _chain(node: Any) -> Chain:
    """Return the names in `a.b.c`, or () if the expression is not a dotted name."""
    names: list[str] = []
    while type(node) is ast.Attribute:
        names.append(node.attr)
        node = node.value
    if type(node) is ast.Name:
        return (node.id, *reversed(names))
    is_super = names and type(node) is ast.Call and getattr(node.func, "id", "") == "super"
    return (SUPER, *reversed(names)) if is_super else ()
