"""Modules of the user's project, imported or not, and what binds a name in them, according to their sources."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from .._naming import module_name
from ._syntax import IMPORT, SELF, SUPER, Chain, Source, imported_by, source_of

_STANDARD_LIBRARY = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
_IMPORTS = (ast.Import, ast.ImportFrom)
_Seen: TypeAlias = set[tuple[str, str]]  # pairs of a module's name and a name in it


class Module(NamedTuple):
    """A module of the project."""

    name: str
    namespace: Mapping[str, Any]
    """The module's own namespace, or the few facts that are known of a module that is not imported."""

    @property
    def source(self) -> Source:
        """The source in its file."""
        return source_of(self.namespace.get("__file__"), self.namespace)

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        base = os.path.basename(str(self.namespace.get("__file__")))
        return self.name if base.startswith("__init__.") else self.name.rpartition(".")[0]


class Bound(NamedTuple):
    """A name in a module, bound by statements of that module."""

    module: Module
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """What distinguishes it from all others."""
        return self.module.name, self.name

    @property
    def statements(self) -> list[Any]:
        """The statements that bind it, except imports."""
        found = self.module.source.bindings.get(self.name, ())
        return [statement for statement in found if not isinstance(statement, _IMPORTS)]

    def leads(self, chain: Chain) -> Iterator[Bound | str]:
        """Yield what binds a dotted name in these statements; see `leads`."""
        if chain[0] == IMPORT:
            yield from leads_of_import(chain[1], chain[2:], self.module.package)
        elif chain[0] not in (SELF, SUPER):  # the statements have the whole class
            yield from leads(self.module, chain)


def is_own(namespace: Any) -> bool:
    """Tell whether a module is part of the user's project, so that its code counts."""
    package, file = str(namespace.get("__name__")).partition(".")[0], namespace.get("__file__")
    if package == "skipstone" or not file:  # without a file: `__main__` in a notebook is the user's own
        return package not in {"skipstone", *sys.stdlib_module_names}
    return _is_own_file(str(file))


@cache
def _is_own_file(file: str) -> bool:
    path = os.path.realpath(file)
    installed = {"site-packages", "dist-packages"}.intersection(path.split(os.sep))
    return not installed and not path.startswith(_STANDARD_LIBRARY)


def module_of(namespace: Mapping[str, Any]) -> Module:
    """Return the module that has this namespace."""
    return Module(module_name(str(namespace.get("__name__"))), namespace)


def leads(module: Module, chain: Chain, seen: _Seen | None = None) -> Iterator[Bound | str]:
    """Yield what binds a dotted name in a module: a `Bound` if that is in the project, else the foreign name as text."""
    name, *rest = chain
    seen = set() if seen is None else seen
    if (module.name, name) in seen:
        return  # two modules may import a name from each other
    seen.add((module.name, name))
    source = module.source
    statements = source.bindings.get(name, [])
    if not all(isinstance(statement, _IMPORTS) for statement in statements):
        is_variable = name in source.variables and name not in source.definitions
        yield "variable" if is_variable else Bound(module, name)
    imports = [
        statement for statement in statements or source.bindings.get("*", []) if isinstance(statement, _IMPORTS)
    ]
    for bound, (target, *names) in (pair for statement in imports for pair in imported_by(statement)):
        if bound == name:
            yield from leads_of_import(target, (*names, *rest), module.package, seen)
        elif bound == "*" and (other := _own_module(target, module.package)) is not None:
            yield from leads(other, chain, seen)


def leads_of_import(target: str, chain: Chain, package: str, seen: _Seen | None = None) -> Iterator[Bound | str]:
    """Yield what binds a name that is imported from another module; relative imports start from `package`."""
    module = _own_module(target, package)
    if module is None or not chain:
        yield ".".join((target, *chain))
    elif found := list(leads(module, chain, seen)):
        yield from found
    else:  # the name is that of a module in a package
        yield from leads_of_import(f"{module.name}.{chain[0]}", chain[1:], "", seen)


def _own_module(name: str, package: str) -> Module | None:
    """Return a module by its name if it is part of the project, without importing it."""
    dots = len(name) - len(name.lstrip("."))
    if dots:
        parts = package.split(".")
        name = ".".join(filter(None, [*parts[: len(parts) - dots + 1], name[dots:]]))
    spec = _spec_of(name)
    if not getattr(spec, "has_location", False) or name.partition(".")[0] in sys.stdlib_module_names:
        return None
    loaded = sys.modules.get(name)
    known = {"__name__": name, "__file__": spec.origin, "__loader__": spec.loader}
    namespace = known if loaded is None else {**known, "__spec__": spec}
    return Module(name, namespace) if is_own(namespace) else None


def _spec_of(name: str) -> Any:
    with suppress(Exception):  # finders may raise anything
        if name in sys.modules:
            return sys.modules[name].__spec__
        parent = name.rpartition(".")[0]
        path = _spec_of(parent).submodule_search_locations if parent else None
        for finder in sys.meta_path:
            if (spec := finder.find_spec(name, path)) is not None:
                return spec
    return None
