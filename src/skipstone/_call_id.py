"""An id expression, compiled once: a function of the same parameters that returns the call id."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any

from ._errors import IdExpressionError
from ._naming import qualified_name

SAFE_BUILTINS = frozenset(
    [
        "abs",
        "all",
        "any",
        "bool",
        "bytes",
        "dict",
        "divmod",
        "enumerate",
        "float",
        "format",
        "frozenset",
        "getattr",
        "hasattr",
        "int",
        "isinstance",
        "len",
        "list",
        "map",
        "filter",
        "max",
        "min",
        "pow",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "type",
        "zip",
        "None",
        "True",
        "False",
    ]
)
"""Builtins that an id expression may use: those whose answer depends on their arguments alone.

`id` and `hash` are not among them: they differ from process to process.
"""

_VARARGS, _VARKEYWORDS = 0x04, 0x08  # inspect.CO_VARARGS, inspect.CO_VARKEYWORDS: importing inspect costs 10 ms


def compile_id(function: types.FunctionType, id: str | Callable[..., object] | None) -> Callable[..., object]:
    """Return a function of the same parameters as `function` that returns the call id.

    Args:
        function: The function whose calls are identified.
        id: An expression over its parameters, a callable of the same parameters, or None: then the id is
            a dictionary of all arguments by name.

    Raises:
        IdExpressionError: The expression has a syntax error or names something that is neither a parameter
            nor a safe builtin, or the callable has other parameters.
    """
    function = _innermost(function)
    if callable(id):
        return _checked_callable(function, id)
    all_arguments = f"dict({', '.join(f'{name}={name}' for name in _parameters(function))})"
    return _compiled(function, all_arguments if id is None else id)


def _innermost(function: types.FunctionType) -> types.FunctionType:
    while isinstance(inner := getattr(function, "__wrapped__", None), types.FunctionType):
        function = inner
    return function


def _parameters(function: types.FunctionType) -> tuple[str, ...]:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    return code.co_varnames[:count]


def _checked_callable(function: types.FunctionType, id: Callable[..., object]) -> Callable[..., object]:
    if isinstance(id, types.FunctionType) and not id.__code__.co_flags & (_VARARGS | _VARKEYWORDS):
        expected, found = _parameters(function), _parameters(id)
        if expected != found:
            message = (
                f"the id function of {_signature(function)} takes ({', '.join(found)}): "
                f"give it the same parameters, ({', '.join(expected)})"
            )
            raise IdExpressionError(message)
    return id


def _compiled(function: types.FunctionType, expression: str) -> Callable[..., object]:
    import ast

    def fail(problem: str) -> IdExpressionError:
        return IdExpressionError(f"id expression {expression!r} does not fit {_signature(function)}: {problem}")

    try:
        # In parentheses, so that it may have line breaks; f-strings and walrus work as well.
        body = ast.parse(f"({expression}\n)", filename=f"<id of {function.__qualname__}>", mode="eval").body
    except SyntaxError as error:
        raise fail(str(error.msg)) from None
    parameters = _parameters(function)
    for name in _free_names(body):
        if name in parameters or name in SAFE_BUILTINS:
            continue
        if hasattr(builtins, name):
            problem = f"{name!r} may not be used in an id: its value can differ from process to process"
        else:
            problem = f"there is no parameter {name!r}"
        raise fail(problem)

    code = function.__code__
    lambda_ = ast.Lambda(args=_arguments(code, parameters), body=body)
    module = ast.fix_missing_locations(ast.Expression(lambda_))
    allowed = {name: getattr(builtins, name) for name in SAFE_BUILTINS if hasattr(builtins, name)}
    compiled = eval(compile(module, f"<id of {function.__qualname__}>", "eval"), {"__builtins__": allowed})  # noqa: S307 - the expression stands in the source code, beside the function
    compiled.__defaults__ = function.__defaults__
    compiled.__kwdefaults__ = function.__kwdefaults__
    compiled.__name__, compiled.__qualname__ = function.__name__, function.__qualname__
    result: Callable[..., object] = compiled
    return result


def _free_names(tree: object) -> Iterator[str]:
    import ast

    bound: set[str] = set()
    used: list[str] = []
    for node in ast.walk(tree):  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used.append(node.id)
            else:
                bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
    return (name for name in used if name not in bound)


def _arguments(code: types.CodeType, names: tuple[str, ...]) -> Any:
    """Rebuild a parameter list. Defaults are only marked: their values are copied from the function."""
    import ast

    args = [ast.arg(name) for name in names]
    positional, keyword = code.co_argcount, code.co_kwonlyargcount
    rest = args[positional + keyword :]
    return ast.arguments(
        posonlyargs=args[: code.co_posonlyargcount],
        args=args[code.co_posonlyargcount : positional],
        vararg=rest.pop(0) if code.co_flags & _VARARGS else None,
        kwonlyargs=args[positional : positional + keyword],
        kw_defaults=[None] * keyword,
        kwarg=rest.pop(0) if code.co_flags & _VARKEYWORDS else None,
        defaults=[],
    )


def _signature(function: types.FunctionType) -> str:
    return f"{qualified_name(function)}({', '.join(_parameters(function))})"
