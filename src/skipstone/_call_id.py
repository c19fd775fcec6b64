"""An id expression, compiled once: a function of the same parameters that returns the call id."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Container
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

_ID_FUNCTION = "__id_function__"
_VARARGS, _VARKEYWORDS = 0x04, 0x08  # inspect.CO_VARARGS, inspect.CO_VARKEYWORDS: importing inspect costs 10 ms


def compile_id(
    function: types.FunctionType, id: str | Callable[..., object] | None, *, item: int | None = None
) -> Callable[..., object]:
    """Return a function of the same parameters as `function` that returns the call id.

    Args:
        function: The function whose calls are identified.
        id: An expression over its parameters, a callable of the same parameters, or None: then the id is
            a dictionary of all arguments by name.
        item: The number of a parameter for which an expression may use a name of its own.

    Raises:
        IdExpressionError: The expression has a syntax error or names something that is neither a parameter
            nor a safe builtin, or the callable has other parameters.
    """
    function = _innermost(function)
    if callable(id):
        return _compiled(function, _call_of_the_id(function, id), {_ID_FUNCTION: id})
    if id is None:
        names = _parameters(function)
        return _compiled(function, f"{{{', '.join(f'{name!r}: {name}' for name in names)}}}", {})
    return _compiled(function, id, {}, item)


def _innermost(function: types.FunctionType) -> types.FunctionType:
    while isinstance(inner := getattr(function, "__wrapped__", None), types.FunctionType):
        function = inner
    return function


def _parameters(function: types.FunctionType) -> tuple[str, ...]:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    return code.co_varnames[:count]


def _call_of_the_id(function: types.FunctionType, id: Callable[..., object]) -> str:
    """Return the expression that calls an id function with all arguments, defaults included."""
    code, names = function.__code__, _parameters(function)
    if isinstance(id, types.FunctionType) and not id.__code__.co_flags & (_VARARGS | _VARKEYWORDS):
        found = _parameters(id)
        if names != found:
            message = (
                f"the id function of {_signature(function)} takes ({', '.join(found)}): "
                f"give it the same parameters, ({', '.join(names)})"
            )
            raise IdExpressionError(message)
    positional, keyword = code.co_argcount, code.co_argcount + code.co_kwonlyargcount
    rest = list(names[keyword:])
    arguments = list(names[:positional])
    if code.co_flags & _VARARGS:
        arguments.append(f"*{rest.pop(0)}")
    arguments += [f"{name}={name}" for name in names[positional:keyword]]
    if rest:
        arguments.append(f"**{rest[0]}")
    return f"{_ID_FUNCTION}({', '.join(arguments)})"


def _compiled(
    function: types.FunctionType, expression: str, names: dict[str, Callable[..., object]], item: int | None = None
) -> Callable[..., object]:
    import ast

    def fail(problem: str) -> IdExpressionError:
        return IdExpressionError(f"id expression {expression!r} does not fit {_signature(function)}: {problem}")

    parameters = _parameters(function)
    try:
        # In parentheses, so that it may have line breaks.
        body = ast.parse(f"({expression}\n)", mode="eval").body
        free_names = _free_names(f"lambda {', '.join(parameters)}: ({expression}\n)")
    except (SyntaxError, ValueError) as error:
        raise fail(error.msg if isinstance(error, SyntaxError) else str(error)) from None
    if isinstance(body, ast.Tuple) and not body.elts and "(" not in expression:
        problem = "it is empty"
        raise fail(problem)
    if any(isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)) for node in ast.walk(body)):
        problem = "it may not yield or await"
        raise fail(problem)
    if item is not None:
        free_names = _item_named(body, free_names, parameters[item : item + 1], names)
    for name in free_names:
        if name in SAFE_BUILTINS or name in names:
            continue
        if hasattr(builtins, name):
            problem = f"{name!r} may not be used in an id: its value can differ from process to process"
        else:
            problem = f"there is no parameter {name!r}"
        raise fail(problem)

    source = f"<id of {function.__qualname__}>"
    lambda_ = ast.Expression(ast.Lambda(args=_arguments(function.__code__, parameters), body=body))
    allowed = {name: getattr(builtins, name) for name in SAFE_BUILTINS}
    # The expression stands in the source code, beside the function: it is no more dangerous than that.
    code = compile(ast.fix_missing_locations(lambda_), source, "eval")
    compiled = eval(code, {"__builtins__": allowed, **names})  # noqa: S307
    compiled.__defaults__ = function.__defaults__
    compiled.__kwdefaults__ = function.__kwdefaults__
    compiled.__module__, compiled.__name__ = function.__module__, function.__name__
    compiled.__qualname__ = function.__qualname__
    result: Callable[..., object] = compiled
    return result


def _item_named(body: Any, free_names: list[str], parameter: tuple[str, ...], names: Container[str]) -> list[str]:
    """Put the parameter in the place of the one name that stands for an item; return the other free names."""
    import ast

    unknown = {name for name in free_names if not hasattr(builtins, name) and name not in names}
    if not parameter or len(unknown) != 1:
        return free_names
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and node.id in unknown:
            node.id = parameter[0]
    return [name for name in free_names if name not in unknown]


def _free_names(source: str) -> list[str]:
    """Return the names that an expression uses and does not bind, as the compiler sees it."""
    from symtable import symtable

    def below(table: Any) -> list[str]:
        found = [
            symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()
        ]
        return found + [name for child in table.get_children() for name in below(child)]

    return [name for child in symtable(source, "<id>", "eval").get_children() for name in below(child)]


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
