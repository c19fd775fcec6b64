"""Compile an id expression, once, to a function of the same parameters that returns the call id."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Collection, Container, Iterable
from typing import Any

from .._errors import IdExpressionError
from .._naming import qualified_name

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
"""Builtins that an id expression may use: those whose result depends on their arguments alone.

This excludes `id` and `hash`, whose results differ from process to process.
"""

_ID_FUNCTION = "__id_function__"
_VARARGS, _VARKEYWORDS = 0x04, 0x08  # inspect.CO_VARARGS, inspect.CO_VARKEYWORDS: importing inspect costs 10 ms


def compile_id(
    function: types.FunctionType,
    id: str | Callable[..., object] | None,
    *,
    item: int | None = None,
    each: str | None = None,
    ignore: Collection[str] = (),
) -> Callable[..., object]:
    """Return a function with the same parameters as `function` that returns the call id.

    Args:
        function: The function whose calls are identified.
        id: An expression over its parameters, a callable with the same parameters, or None for a dictionary of all
            arguments by name.
        item: The number of a parameter that stands for an item, for which an expression may use another name.
        each: The name of such a parameter; an expression must then mention the item.
        ignore: Parameters to leave out of a dictionary of all arguments.

    Raises:
        IdExpressionError: The expression has a syntax error, mentions no parameter, or names something that is neither
            a parameter nor a safe builtin; the callable has other parameters; or there is no parameter `each`.
    """
    if id is not None and not isinstance(id, str) and not callable(id):
        message = f"the id of {_signature(_innermost(function))} is {id!r}: give an expression such as 'doc.id', or a callable"
        raise IdExpressionError(message)
    function = _innermost(function)
    if each is not None:
        item = _number_of(function, each)
    if ignore and id is not None:
        message = (
            f"ignore={tuple(ignore)!r} does not fit {_signature(function)}: it is for an id that is the content of all "
            f"arguments; leave these parameters out of the id {id!r}"
        )
        raise IdExpressionError(message)
    if callable(id):
        return _compiled(function, _call_of_the_id(function, id), {_ID_FUNCTION: id})
    if id is None:
        for name in ignore:
            if name not in _parameters(function):
                message = f"ignore={name!r} does not fit {_signature(function)}: there is no such parameter"
                raise IdExpressionError(message)
        names = [name for name in _parameters(function) if name not in ignore]
        return _compiled(function, f"{{{', '.join(f'{name!r}: {name}' for name in names)}}}", {})
    return _compiled(function, id, {}, item, is_needed=each is not None)


def position_of(function: Callable[..., Any], parameter: str) -> int | None:
    """Return the position of a function's parameter, or None if it is keyword-only."""
    code = _innermost(function).__code__
    names = code.co_varnames[: code.co_argcount]
    return names.index(parameter) if parameter in names else None


def _number_of(function: types.FunctionType, each: str) -> int:
    names = _parameters(function)
    code = function.__code__
    if each not in names[: code.co_argcount + code.co_kwonlyargcount]:
        problem = "takes any number of arguments" if each in names else "is no parameter"
        message = (
            f"each={each!r} does not fit {_signature(function)}: it {problem}; name the one that takes a list"
        )
        raise IdExpressionError(message)
    return names.index(each)


def _innermost(function: Any) -> types.FunctionType:
    while isinstance(inner := getattr(function, "__wrapped__", None), types.FunctionType):
        function = inner
    innermost: types.FunctionType = function
    return innermost


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
    function: types.FunctionType,
    expression: str,
    names: dict[str, Callable[..., object]],
    item: int | None = None,
    *,
    is_needed: bool = False,
) -> Callable[..., object]:
    import ast

    from ._syntax import parsed

    def fail(problem: str) -> IdExpressionError:
        return IdExpressionError(f"id expression {expression!r} does not fit {_signature(function)}: {problem}")

    parameters = _parameters(function)
    try:
        # In parentheses, so that the expression may have line breaks.
        body = parsed(f"({expression}\n)", mode="eval").body
        bound = [name for number, name in enumerate(parameters) if number != item]
        free_names = _free_names(f"lambda {', '.join(bound)}: ({expression}\n)")
    except (SyntaxError, ValueError) as error:
        raise fail(error.msg if isinstance(error, SyntaxError) else str(error)) from None
    if isinstance(body, ast.Tuple) and not body.elts and "(" not in expression:
        problem = "it is empty"
        raise fail(problem)
    if any(isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)) for node in ast.walk(body)):
        problem = "it may not yield or await"
        raise fail(problem)
    item_name = None
    if item is not None and item < len(parameters):
        item_name = _name_of_item(free_names, parameters[item])
        if item_name is not None:
            _renamed(body, item_name, parameters[item])
    mentioned = {node.id for node in ast.walk(body) if isinstance(node, ast.Name)}
    wrong = _problem_of(free_names, {*names, item_name})
    if wrong is None and is_needed and item_name is None:
        wrong = "it does not mention the item, so that all would have one id"
    if wrong is None and parameters and not names and not mentioned.intersection(parameters):
        wrong = "it mentions no parameter, so that all calls would have one id"
    if wrong is not None:
        raise fail(wrong)

    which = "" if names else f" {expression!r}"
    source = f"<id{which} of {qualified_name(function)}>"  # shown in a traceback if an argument does not fit
    lambda_ = ast.Expression(ast.Lambda(args=_arguments(function.__code__, parameters), body=body))
    allowed = {name: getattr(builtins, name) for name in SAFE_BUILTINS}
    # The expression is part of the source code, as the function is, so evaluating it is no more dangerous.
    code = compile(ast.fix_missing_locations(lambda_), source, "eval")
    compiled = eval(code, {"__builtins__": allowed, **names})  # noqa: S307
    compiled.__defaults__ = function.__defaults__
    compiled.__kwdefaults__ = function.__kwdefaults__
    compiled.__module__, compiled.__name__ = function.__module__, function.__name__
    compiled.__qualname__ = function.__qualname__
    compiled.mentions = None if names else mentioned.intersection(parameters)  # unknown for a callable
    result: Callable[..., object] = compiled
    return result


def _problem_of(free_names: Iterable[str], known: Container[str | None]) -> str | None:
    """Return what is wrong with the first name that is neither known nor a safe builtin, if there is one."""
    for name in free_names:
        if name in SAFE_BUILTINS or name in known:
            continue
        if hasattr(builtins, name):
            return f"{name!r} may not be used in an id: its value can differ from process to process"
        return f"there is no parameter {name!r}"
    return None


def _name_of_item(free_names: Collection[str], parameter: str) -> str | None:
    """Return the name that stands for the item: the parameter's, or else the only one that is not a builtin."""
    if parameter in free_names:
        return parameter
    unknown = {name for name in free_names if not hasattr(builtins, name)}
    return unknown.pop() if len(unknown) == 1 else None


def _renamed(body: Any, name: str, parameter: str) -> None:
    """Replace a name by the parameter's."""
    import ast

    for node in ast.walk(body):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = parameter


def _free_names(source: str) -> list[str]:
    """Return the names that an expression uses and does not bind, according to the compiler."""
    from symtable import symtable

    def below(table: Any) -> list[str]:
        found = [
            symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()
        ]
        return found + [name for child in table.get_children() for name in below(child)]

    return [name for child in symtable(source, "<id>", "eval").get_children() for name in below(child)]


def _arguments(code: types.CodeType, names: tuple[str, ...]) -> Any:
    """Return the parameter list of `code` as a syntax tree, without defaults, which the caller copies."""
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
