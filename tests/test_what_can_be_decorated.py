"""What cannot be kept is refused when it is decorated, with a message that says what to do."""

import functools

import pytest

from skipstone import IdExpressionError, UnstableIdError, cache_with_checkpoint


def a_function(x):
    return x


class Page:
    def read(self):
        return 1


def test_callable_id_with_other_parameters_is_refused():
    """A callable id that does not fit is an error when the function is decorated."""
    with pytest.raises(IdExpressionError) as caught:

        @cache_with_checkpoint(id=lambda path: path)
        def read(path, page):
            pass

    here = f"{__name__}.test_callable_id_with_other_parameters_is_refused.<locals>.read"
    assert str(caught.value) == (
        f"the id function of {here}(path, page) takes (path): give it the same parameters, (path, page)"
    )


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Page, "cache_with_checkpoint decorates Python functions, not type objects"),
        (len, "cache_with_checkpoint decorates Python functions, not builtin_function_or_method objects"),
        (functools.partial(a_function), "cache_with_checkpoint decorates Python functions, not partial objects"),
        (Page().read, "cache_with_checkpoint decorates Python functions, not method objects"),
        ("doc.id", "write cache_with_checkpoint(id='doc.id'): the id is a keyword argument"),
        (lambda x: x, None),
    ],
)
def test_what_is_no_function_of_its_own_is_refused(thing, message):
    """Classes, builtins, partials, bound methods, texts and nameless lambdas are refused at decoration."""
    with pytest.raises(TypeError) as caught:
        cache_with_checkpoint(thing)
    if message:
        assert str(caught.value) == message
    else:
        assert isinstance(caught.value, UnstableIdError)
        assert str(caught.value) == (
            f"{__name__}.<lambda> has no name of its own, so its results could not be told from those of another "
            f"lambda: write it as a function with def, or decorate it with cache_with_checkpoint(name=...)"
        )


def test_lambda_with_a_name_is_fine(memory):
    """A lambda may be decorated when it is given a name."""
    triple = cache_with_checkpoint(id="x", name="triple")(lambda x: 3 * x)
    assert triple(1) == 3
    assert [record.function for record in memory.records()] == ["triple"]


def test_bad_on_code_change_is_refused():
    """An unknown `on_code_change` is an error at decoration."""
    with pytest.raises(ValueError, match="on_code_change is 'redo', expected 'warn', 'rerun' or 'ignore'"):
        cache_with_checkpoint(id="x", on_code_change="redo")
