"""A fixed sequence of operations that touches every way in which the store writes, and what must hold after a part of it.

Each operation is done with a generation of its own, so it shows which one a value comes from.
"""

from functools import cache

from harness import acknowledge, size_of, told, value_of

SEQUENCE = [
    ("save", "one", "a-300"),
    ("save", "one", "b-100000"),
    ("save", "one", "c-5000"),
    ("save", "one", "d-300000"),
    ("load", "one", "a-300"),
    ("rerun", "one", "a-300"),
    ("rerun", "one", "b-100000"),
    ("forget", "one", "c-5000"),
    ("save", "one", "c-5000"),
    ("fail", "one", "e-700"),
    ("save", "one", "e-700"),
    ("clear", "one", "d-300000"),
    ("save", "two", "x-200"),
    ("save", "two", "y-70000"),
    ("clear", "two", None),
    ("save", "two", "x-200"),
    ("reopen", None, None),
    ("save", "one", "f-1100000"),
    ("rerun", "one", "f-1100000"),
    ("clear", None, None),
    ("save", "one", "a-300"),
    ("save", "one", "g-80000"),
]
EVERYTHING = sorted({(function, id) for _, function, id in SEQUENCE if function and id})
COMPUTED_NOW = -1


def states():
    """Return the store's content before each operation and after the last: generations by function and id."""
    found = [{}]
    for generation, (action, function, id) in enumerate(SEQUENCE):
        after = dict(found[-1])
        if action == "save":
            after.setdefault((function, id), generation)
        elif action == "rerun":
            after[function, id] = generation
        elif action in ("forget", "clear"):
            for key in list(after):
                if function in (None, key[0]) and id in (None, key[1]):
                    del after[key]
        found.append(after)
    return found


def perform(folder, durability="process"):
    """Do all operations, and acknowledge each."""
    from skipstone import open_checkpoint, use_checkpoint

    with open_checkpoint(
        "step", {"artifacts_dir": f"{folder}/new/artifacts", "durability": durability}
    ) as checkpoint:
        with use_checkpoint(checkpoint):
            for generation, operation in enumerate(SEQUENCE):
                _do(checkpoint, generation, *operation)
                acknowledge(generation)


def _do(checkpoint, generation, action, function, id):
    called = _functions(generation, action)
    if action in ("save", "load"):
        called[function](id)
    elif action == "rerun":
        called[function].rerun(id)
    elif action == "forget":
        assert called[function].forget(id)
    elif action == "fail":
        try:
            called[function](id)
        except ZeroDivisionError:
            pass
    elif action == "clear" and id is not None:
        assert checkpoint.clear(called[function], id=id)
    elif action == "clear":
        assert checkpoint.clear(function and called[function])
    elif action == "reopen":
        checkpoint.close()


def _functions(generation, action="save"):
    from skipstone import cache_with_checkpoint

    def compute(id):
        if action == "fail":
            raise ZeroDivisionError(id)
        return _value(id, generation)

    return {
        name: cache_with_checkpoint(id="id", name=name, on_code_change="ignore")(compute)
        for name in ("one", "two")
    }


@cache
def _value(id, generation):
    return value_of(f"{generation}:{id}", size_of(id))


def look(folder, durability="process"):
    """Ask for everything twice; return the generation of each, what was wrong, and the warnings."""
    import warnings

    from skipstone import open_checkpoint, use_checkpoint

    generations, wrong = [], []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for again in (False, True):
            with open_checkpoint(
                "step", {"artifacts_dir": f"{folder}/new/artifacts", "durability": durability}
            ) as checkpoint:
                with use_checkpoint(checkpoint):
                    called = _functions(COMPUTED_NOW)
                    for number, (function, id) in enumerate(EVERYTHING):
                        value = called[function](id)
                        known = [g for g in _generations(function, id) if value == _value(id, g)]
                        if not known or (again and known != [generations[number]]):
                            wrong.append((function, id, again))
                        generations += known if known and not again else [None] * (not again)
                if again and checkpoint.stats().misses:
                    wrong.append(("not kept", checkpoint.stats().misses, again))
    return {"generations": generations, "wrong": wrong, "warnings": told(caught)}


def _generations(function, id):
    return [
        COMPUTED_NOW,
        *(number for number, operation in enumerate(SEQUENCE) if operation[1:] == (function, id)),
    ]


def violations(seen, acknowledged, *, durable=True):
    """Return what does not hold of a store that was left with so many operations acknowledged.

    Args:
        seen: What `look` returned.
        acknowledged: So many operations were; the next one may have been done or not.
        durable: Whether what was acknowledged must be there; otherwise any older state of a record is right.
    """
    history = states()
    allowed_states = history[acknowledged : acknowledged + 2] if durable else history[: acknowledged + 2]
    found = [f"wrong: {each}" for each in seen["wrong"]]
    for key, generation in zip(EVERYTHING, seen["generations"], strict=True):
        allowed = {state.get(key, COMPUTED_NOW) for state in allowed_states} | ({-1} if not durable else set())
        if generation not in allowed:
            found.append(f"{key} is of generation {generation}, expected one of {allowed}")
    return found
