"""Pools that pickle functions by value."""

PIPELINE = """
    import functools
    from dataclasses import dataclass

    import loky
    from skipstone import Failure, NullCheckpoint, cache_with_checkpoint, init_checkpoint

    @dataclass
    class Square:
        of: int
        value: int

    class NegativeError(Exception):
        pass

    @cache_with_checkpoint(id="x")
    def square(x):
        with open("runs", "a") as runs:
            print(x, file=runs)
        if x < 0:
            raise NegativeError(x)
        return Square(x, model()(x))

    @functools.cache
    def model():
        with open("loads", "a") as loads:
            print("loaded", file=loads)
        return inner

    @cache_with_checkpoint(id="x")
    def inner(x):
        return x * x

    if __name__ == "__main__":
        checkpoint = init_checkpoint("step")
        pool = loky.get_reusable_executor(2)
        for one in (checkpoint, NullCheckpoint()):
            assert list(one.map(square, range(10), executor=pool)) == [Square(x, x * x) for x in range(10)]
        try:
            list(checkpoint.map(square, [-1], executor=pool))
        except NegativeError as error:
            print(error)
        assert inner(9) == 81
        print(checkpoint.stats().misses)
        pool.shutdown()
"""


def test_loky(script):
    """Classes and errors of a script are its own in another process, in what is kept and in what comes back; a model is loaded once."""
    script.write("pipeline.py", PIPELINE)
    assert script("pipeline.py", warnings="default").stdout == "-1\n20\n"
    assert script("pipeline.py", warnings="default").stdout == "-1\n0\n"
    loads = (script.folder / "loads").read_text().split()
    assert len(loads) <= 2 * 3  # by each worker, in each map that has something to run
