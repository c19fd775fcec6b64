"""A rerun does only what is not done yet, in whatever process, under whatever name its module runs."""

import signal

import pytest

PIPELINE = """
    import os, sys
    from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="number")
    def square(number):
        with open("runs", "a") as file:
            file.write(f"{number}\\n")
        return number * number

    if __name__ == "__main__":
        init_checkpoint("step", {"index_name": os.environ.get("INDEX", "default")})
        for number in map(int, sys.argv[1:]):
            print(square(number), flush=True)
            if os.environ.get("STOP") == str(number):
                input()
"""


def runs(script):
    """Return the arguments of the calls that ran since the last question."""
    path = script.folder / "runs"
    found = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def test_only_unfinished_work_runs_after_a_kill(script):
    """After SIGKILL part-way, the next run takes what was acknowledged and runs the rest."""
    script.write("app.py", PIPELINE)
    process = script.start("app.py", *range(6), environment={"STOP": "3"})
    try:
        assert [process.stdout.readline() for _ in range(4)] == ["0\n", "1\n", "4\n", "9\n"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert runs(script) == ["0", "1", "2", "3"]
    assert script("app.py", *range(6)).stdout.split() == ["0", "1", "4", "9", "16", "25"]
    assert runs(script) == ["4", "5"]
    script("app.py", *range(8))
    assert runs(script) == ["6", "7"]
    script("app.py", *range(7, -1, -1))
    assert runs(script) == []


def test_a_call_that_was_killed_runs_again(script):
    """A call during which its process was killed is not done, and nobody has to wait for its claim."""
    script.write(
        "app.py",
        """
        import os, signal, sys
        from skipstone import init_checkpoint, cache_with_checkpoint

        @cache_with_checkpoint(id="number")
        def work(number, kill):
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        init_checkpoint("step", {"wait_timeout": 5})
        work(1, len(sys.argv) > 1)
        print(work(1, True))
        """,
    )
    assert script("app.py", "kill", check=False).returncode == -signal.SIGKILL
    assert script("app.py").stdout == "1\n"


def test_another_index_name_sees_nothing_and_coming_back_finds_all(script):
    """Results belong to an index name: another one starts empty, and a return to the first finds its results."""
    script.write("app.py", PIPELINE)
    for index, expected in (("a", ["1", "2"]), ("b", ["1", "2"]), ("a", []), ("b", []), ("A", ["1", "2"])):
        assert script("app.py", 1, 2, environment={"INDEX": index}).stdout.split() == ["1", "4"]
        assert runs(script) == expected


def test_steps_do_not_mix(script):
    """Each step has its own results, also for the same function and id."""
    script.write(
        "app.py",
        """
        from skipstone import init_checkpoint, get_checkpoint
        ran = []
        def work(x):
            ran.append(x)
        for step in ("one", "two", "one", "one/two", "two"):
            init_checkpoint(step)
            get_checkpoint().load_or_run(work, "k", step)
        print(ran)
        """,
    )
    assert script("app.py").stdout == "['one', 'two', 'one/two']\n"
    assert script("app.py").stdout == "[]\n"


@pytest.mark.parametrize(
    "importer",
    [
        "import app; square = app.square",
        "from app import square",
        "import importlib; square = importlib.import_module('app').square",
    ],
)
def test_a_script_and_its_import_share_results(script, importer):
    """A module that runs as a script and the same module imported are one."""
    script.write("app.py", PIPELINE)
    script.write(
        "other.py",
        f"""
        {importer}
        from skipstone import init_checkpoint
        init_checkpoint("step")
        print(square(1), square(2))
        """,
    )
    assert script("app.py", 1).stdout == "1\n"
    assert script("other.py").stdout == "1 4\n"
    assert runs(script) == ["1", "2"]
    assert script("app.py", 1, 2).stdout.split() == ["1", "4"]
    assert runs(script) == []


def test_a_module_in_a_package_shares_results_however_it_is_started(script):
    """`python -m package.app`, `python package/app.py` and an import of it are one, and so is `python -m package`."""
    script.write("package/__init__.py", "")
    script.write("package/sub/__init__.py", "")
    script.write("package/sub/app.py", PIPELINE)
    script.write("package/__main__.py", PIPELINE)
    script("-m", "package.sub.app", 1, 2)
    assert runs(script) == ["1", "2"]
    script("package/sub/app.py", 1, 2)
    assert runs(script) == []
    script("-c", "import package.sub.app as app; app.init_checkpoint('step'); app.square(1)")
    assert runs(script) == []
    script("-m", "package", 1)
    assert runs(script) == ["1"]
    script("-c", "import package.__main__ as app; app.init_checkpoint('step'); app.square(1)")
    assert runs(script) == []


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_of_a_process_pool_share_the_store(script, method):
    """Worker processes find what the parent and other workers did, and the next run finds all of it."""
    script.write(
        "app.py",
        """
        import multiprocessing, os, sys
        from skipstone import cache_with_checkpoint, init_checkpoint, open_checkpoint, use_checkpoint

        @cache_with_checkpoint(id="number")
        def square(number):
            with open("runs", "a") as file:
                file.write(f"{number}\\n")
            return number * number

        def work(number):
            return square(number)

        def begin(checkpoint):
            if sys.argv[1] == "spawn":
                init_checkpoint("step")

        if __name__ == "__main__":
            checkpoint = init_checkpoint("step")
            square(0)
            context = multiprocessing.get_context(sys.argv[1])
            with context.Pool(2, begin, [checkpoint]) as pool:
                print(pool.map(work, [*range(6)] * 2, chunksize=1))
                pool.close()
                pool.join()
            print(checkpoint.stats().misses, square(5), len(list(checkpoint.records())))
        """,
    )
    squares = [number * number for number in range(6)] * 2
    assert script("app.py", method).stdout == f"{squares}\n1 25 6\n"
    assert sorted(runs(script)) == ["0", "1", "2", "3", "4", "5"]
    assert script("app.py", method).stdout == f"{squares}\n0 25 6\n"
    assert runs(script) == []


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_pickled_checkpoint_works_in_a_worker(script, method):
    """A checkpoint passed to a worker process is the same step there, wherever the worker's working directory is."""
    script.write(
        "app.py",
        """
        import multiprocessing, os, sys
        from skipstone import open_checkpoint

        def square(number):
            return number * number

        def work(checkpoint, folder):
            os.chdir(folder)
            assert checkpoint.load_or_run(square, 3, None) == 9
            checkpoint.load_or_run(square, 4, 4)
            checkpoint.close()

        if __name__ == "__main__":
            with open_checkpoint("step") as checkpoint:
                checkpoint.load_or_run(square, 3, 3)
                os.mkdir("elsewhere")
                worker = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(checkpoint, "elsewhere"))
                worker.start()
                worker.join(30)
                print(worker.exitcode, checkpoint.load_or_run(square, 4, None), os.listdir("elsewhere"))
        """,
    )
    assert script("app.py", method).stdout == "0 16 []\n"


def test_none_is_a_result(script):
    """None is a result like any other: it is found again."""
    script.write(
        "app.py",
        """
        from skipstone import init_checkpoint
        checkpoint = init_checkpoint("step")
        def work(x):
            print("ran")
        for _ in range(2):
            assert checkpoint.load_or_run(work, None, 1) is None
        print(checkpoint.stats().hits, checkpoint.stats().misses)
        """,
    )
    assert script("app.py").stdout == "ran\n1 1\n"
    assert script("app.py").stdout == "2 0\n"


def test_each_hit_is_a_fresh_object(script):
    """What a caller does to a result changes neither the stored one nor that of the next caller."""
    script.write(
        "app.py",
        """
        from skipstone import init_checkpoint
        checkpoint = init_checkpoint("step")
        for size in (1, 300_000):
            for _ in range(3):
                result = checkpoint.load_or_run(list, size, [["a"] * size])
                assert len(result) == 1 and result[0] == ["a"] * size, len(result)
                result[0].append("b")
                result.append("c")
        """,
    )
    script("app.py")
    script("app.py")


def test_results_of_every_size_come_back(script):
    """Results around the sizes at which they are stored in another way come back as they were."""
    script.write(
        "app.py",
        """
        from skipstone import init_checkpoint
        checkpoint = init_checkpoint("step")
        def make(size):
            return bytes(range(256)) * (size // 256) + bytes(size % 256)
        for size in (0, 1, 2**16 - 100, 2**16 - 20, 2**16, 2**16 + 1, 2**20 - 10, 2**20, 2**20 + 1, 3 * 2**20):
            assert checkpoint.load_or_run(make, size, size) == make(size)
        print(checkpoint.stats().misses)
        """,
    )
    assert [script("app.py").stdout for _ in range(2)] == ["10\n", "0\n"]
