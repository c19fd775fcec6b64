"""An id expression is compiled once, fits the function's signature, and fails at decoration, not at call 10,000."""

import asyncio
import inspect
import types

import pytest

from skipstone import (
    Checkpoint,
    IdExpressionError,
    UnstableIdError,
    cache_with_checkpoint,
    get_checkpoint,
    register_id,
)
from skipstone.stores import MemoryStore


@pytest.fixture(autouse=True)
def _current(memory):
    pass


def call_ids():
    return [record.call_id for record in get_checkpoint().records()]


def namespace(**attributes):
    return types.SimpleNamespace(**attributes)


@cache_with_checkpoint(id="chunk['content'] + embedding_model.name")
def embed_chunk(chunk, embedding_model):
    return 1


@cache_with_checkpoint(id="chunk['content'] + str(config.index.chunking.generate_title)")
async def title_chunk(chunk, config):
    return 1


@cache_with_checkpoint(id="user_prompt + output_prompt + qna_context + index_config.index_name()")
def answer(user_prompt, output_prompt, qna_context, index_config):
    return 1


@cache_with_checkpoint(id="f'{doc.path}:{page}'")
def read_page(doc, page=1):
    return 1


@cache_with_checkpoint(id="index_name")
def build_index(index_name, documents):
    return 1


@pytest.mark.parametrize(
    ("call", "call_id"),
    [
        (lambda: embed_chunk({"content": "a b"}, namespace(name="ada")), "a bada"),
        (
            lambda: title_chunk(
                {"content": "a "}, config=namespace(index=namespace(chunking=namespace(generate_title=True)))
            ),
            "a True",
        ),
        (lambda: answer("u", "o", qna_context="c", index_config=namespace(index_name=lambda: "i")), "uoci"),
        (lambda: read_page(namespace(path="x.pdf")), "x.pdf:1"),
        (lambda: read_page(namespace(path="x.pdf"), page=2), "x.pdf:2"),
        (lambda: build_index("news", documents=object()), "news"),
    ],
)
def test_expressions_as_they_stand_in_pipelines(call, call_id):
    """The expressions of real pipelines work as they stand: items, attributes, calls, f-strings, plain names."""
    for _ in range(2):
        assert asyncio.run(result(call())) == 1
    assert call_ids() == [call_id]


async def result(value):
    return await value if inspect.isawaitable(value) else value


def has_id(expected, function, expression, *args, **kwargs):
    """Tell whether the call of a function has exactly this id."""
    with_id = cache_with_checkpoint(id=expression, name="asked")(function)
    get_checkpoint().clear()
    with_id(*args, **kwargs)
    assert len(call_ids()) == 1
    return get_checkpoint().clear(with_id, id=expected) == 1


def test_every_kind_of_parameter():
    """Positional-only, defaults, *args, keyword-only and **kwargs are seen as the function sees them."""

    def work(a, /, b, c=3, *rest, d, e=5, **more):
        return None

    every = "(a, b, c, rest, d, e, more)"
    assert has_id((1, 2, 3, (), 4, 5, {}), work, every, 1, 2, d=4)
    assert has_id((1, 2, 0, (), 4, 5, {}), work, every, 1, b=2, d=4, c=0)
    assert has_id((1, 2, 30, (31,), 4, 6, {"a": 8, "z": 7}), work, every, 1, 2, 30, 31, d=4, e=6, z=7, a=8)
    everything = {"a": 1, "b": 2, "c": 3, "rest": (), "d": 4, "e": 5, "more": {"z": 1}}
    assert has_id(everything, work, None, 1, 2, d=4, z=1)


def test_wrong_arguments_are_the_functions_own_error():
    """A call that does not fit the signature is a TypeError that names the function."""
    with pytest.raises(TypeError, match=r"build_index\(\) missing 1 required positional argument: 'documents'"):
        build_index("news")
    with pytest.raises(TypeError, match=r"build_index\(\) got an unexpected keyword argument 'docs'"):
        build_index("news", docs=1)


def test_parameters_may_be_called_like_builtins():
    """A parameter goes before the builtin of its name, also where all arguments are the id."""

    def work(dict, str, len=1, sorted=2):
        return None

    assert has_id((1, 2), work, "(dict, str)", 1, 2)
    assert has_id({"dict": 1, "str": 2, "len": 1, "sorted": 2}, work, None, 1, 2)


@pytest.mark.parametrize(
    ("expression", "call_id"),
    [
        ("'-'.join(x.upper() for x in xs)", "A-B"),
        ("[x + str(i) for i, x in enumerate(xs) if x != 'b']", ["a0"]),
        ("{k: v for k, v in zip(xs, range(len(xs)))}", {"a": 0, "b": 1}),
        ("sorted(xs, key=lambda x: -ord_of[x])", ["b", "a"]),
        ("(lambda first, *more: first)(*xs)", "a"),
        ("[x for x in xs for y in xs if x != y]", ["a", "b"]),
        ("(y := xs[0]) + y", "aa"),
        ("xs[0] if xs else None", "a"),
        ("xs[-1], xs[0]", ("b", "a")),
        ("\n    xs[0]\n    + xs[1]\n", "ab"),
        ("xs[0]  # the first", "a"),
        ("'%s/%s' % tuple(xs)", "a/b"),
        ('f"{xs[0]!r:>5}"', "  'a'"),
        ("all(isinstance(x, str) for x in xs)", True),
    ],
)
def test_expressions_may_have_scopes_of_their_own(expression, call_id):
    """Comprehensions, lambdas, walrus, line breaks, comments and safe builtins work in an expression."""

    def work(xs, ord_of):
        return None

    assert has_id(call_id, work, expression, ["a", "b"], {"a": 1, "b": 2})


def embed(doc, lang="en"):
    return None


HERE = f"{__name__}.embed(doc, lang)"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("doc.uid + language", "there is no parameter 'language'"),
        ("embed.__name__", "there is no parameter 'embed'"),
        ("os.getcwd()", "there is no parameter 'os'"),
        ("id(doc)", "'id' may not be used in an id: its value can differ from process to process"),
        ("hash(doc)", "'hash' may not be used in an id: its value can differ from process to process"),
        ("open(doc).read()", "'open' may not be used in an id: its value can differ from process to process"),
        (
            "__import__('os')",
            "'__import__' may not be used in an id: its value can differ from process to process",
        ),
    ],
)
def test_unknown_and_unsafe_names_are_told_whole(expression, problem):
    """A name that is neither a parameter nor a safe builtin is an error at decoration."""
    with pytest.raises(IdExpressionError) as caught:
        cache_with_checkpoint(id=expression)(embed)
    assert str(caught.value) == f"id expression {expression!r} does not fit {HERE}: {problem}"


@pytest.mark.parametrize(
    "expression",
    [
        "doc.id +",
        "doc..id",
        "doc.id)",
        "doc; lang",
        "x = doc",
        "return doc",
        "lambda: (",
        "*doc",
        "'unclosed",
        "",
        "   ",
        "# only a comment",
        "yield doc",
        "await doc",
        "doc\0",
    ],
)
def test_syntax_errors_are_told_at_decoration(expression):
    """What is no expression is an error at decoration that shows it and the function."""
    with pytest.raises(IdExpressionError) as caught:
        cache_with_checkpoint(id=expression)(embed)
    assert str(caught.value).startswith(f"id expression {expression!r} does not fit {HERE}: ")
    assert isinstance(caught.value, ValueError)


def test_syntax_error_is_told_whole():
    """The message of a syntax error is Python's own."""
    with pytest.raises(IdExpressionError) as caught:
        cache_with_checkpoint(id="doc.id +")(embed)
    assert str(caught.value) == f"id expression 'doc.id +' does not fit {HERE}: invalid syntax"


@pytest.mark.parametrize(
    "expression", ["[d for d in doc] + d", "(lambda d: d)(doc) + d", "d + [d for d in doc][0]"]
)
def test_a_name_is_bound_in_its_own_scope_only(expression):
    """A comprehension's or lambda's variable is unknown outside it: an error at decoration, too."""
    with pytest.raises(IdExpressionError, match=r"there is no parameter 'd'$"):
        cache_with_checkpoint(id=expression)(embed)


def test_an_error_in_an_expression_is_the_callers():
    """What an expression raises for one call reaches the caller, its traceback names both; nothing ran."""
    runs = []

    def work(doc):
        runs.append(doc)

    with pytest.raises(KeyError, match="content") as raised:
        cache_with_checkpoint(id="doc['content']")(work)({})
    assert str(raised.traceback[-1].path) == f"""<id "doc['content']" of {work.__module__}.{work.__qualname__}>"""
    assert runs == []


def test_an_id_without_canonical_form_names_the_function():
    """A type that has no stable content is refused at the call, naming the function and saying what to do."""

    class Client:
        pass

    runs = []

    @cache_with_checkpoint(id="client", name="app.ask")
    def ask(client):
        runs.append(client)

    with pytest.raises(UnstableIdError) as caught:
        ask(Client())
    name = Client.__qualname__
    assert str(caught.value) == (
        f"cannot make the id of a call of app.ask: a {__name__}.{name} has no canonical form, so it cannot be part of an "
        f"id: use an attribute of it that identifies the call, such as its name, or give {name} a method "
        f"`__skipstone_id__(self)` that returns one, or, where it is not yours, call skipstone.register_id({name}, ...)"
    )
    assert isinstance(caught.value, TypeError)
    assert runs == []


@pytest.mark.parametrize(
    "holder", [lambda x: [x], lambda x: {"a": (1, x)}, lambda x: {x: 1}, lambda x: (None, [x])]
)
def test_one_bad_part_is_enough(holder):
    """A part without canonical form is found however deep it lies."""
    checkpoint = Checkpoint(MemoryStore())
    with pytest.raises(UnstableIdError, match=r"a builtins\.object has no canonical form"):
        checkpoint.load_or_run(embed, holder(object()), 1)


def test_a_value_that_contains_itself_is_refused():
    """A list that contains itself is an error, not a crash."""
    loop = []
    loop.append(loop)
    with pytest.raises(UnstableIdError) as caught:
        get_checkpoint().load_or_run(embed, loop, 1)
    assert str(caught.value) == (
        f"cannot make the id of a call of {__name__}.embed: list contains itself or is nested too deeply to be an id"
    )


def test_a_long_id_is_shortened_for_people_only():
    """Ids that differ only at their far end are different calls, and are listed shortened."""
    for end in "ab":
        get_checkpoint().load_or_run(embed, "x" * 100_000 + end, 1)
    assert len(call_ids()) == 2
    assert max(map(len, call_ids())) <= 200


@pytest.mark.parametrize("expression", ["str(doc)", "f'page of {doc}'", "repr(doc)"])
def test_an_address_is_no_id(expression):
    """A text that has an object's address in it is refused before anything runs: another object may get the address."""

    class Opaque:
        pass

    runs = []

    @cache_with_checkpoint(id=expression, name="app.read")
    def read(doc):
        runs.append(doc)

    with pytest.raises(UnstableIdError, match="of a call of app.read has the address of an object in it"):
        read(Opaque())
    assert runs == []


@pytest.mark.parametrize("arguments", [(3, str), (int, 4)])
def test_what_cannot_be_registered_is_refused(arguments):
    """Only a class has objects, and only what can be called has their id."""
    with pytest.raises(TypeError, match="expected a class, and a function"):
        register_id(*arguments)
