"""Other tools see what was done: OpenTelemetry, structured logs, and whoever reads JSON."""

import asyncio
import gc
import json
import logging
import threading

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from skipstone import Checkpoint, cache_with_checkpoint, note, use_checkpoint
from skipstone.stores import MemoryStore

spans = InMemorySpanExporter()
reader = InMemoryMetricReader()


@pytest.fixture(scope="module", autouse=True)
def _providers():
    """Let this process have providers, which can be set once."""
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider([reader]))


@pytest.fixture
def step(request):
    """A checkpoint whose step no other test has."""
    spans.clear()
    with Checkpoint(MemoryStore(), name=request.node.name) as checkpoint, use_checkpoint(checkpoint):
        yield request.node.name


@cache_with_checkpoint(id="x", name="ask")
def ask(x):
    with trace.get_tracer("mine").start_as_current_span("mine"):
        note(tokens=x)
    if x < 0:
        raise ValueError("negative")
    return "x" * x


@cache_with_checkpoint(id="x", name="later")
async def later(x):
    await asyncio.sleep(0)
    return x


@cache_with_checkpoint(id="x", each="xs", name="many")
def many(xs):
    return xs


def measured(step):
    """Return the sums of a step by the names of the metrics."""
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    if point.attributes.get("skipstone.step") == step:
                        about = point.attributes.get("skipstone.note", "")
                        found[metric.name.removeprefix("skipstone.") + about] = point.value
    return found


def traced():
    return [(span.name, span.attributes.get("skipstone.call_id")) for span in spans.get_finished_spans()]


def test_metrics_are_what_was_counted(step):
    """Hits, misses, failures, bytes, seconds and notes are told as sums, with the step they belong to."""
    for x in (3, 3, 3, 5):
        ask(x)
    with pytest.raises(ValueError, match="negative"):
        ask(-1)
    told = measured(step)
    assert (told["hits"], told["misses"], told["failures"], told["not_saved"]) == (2, 2, 1, 0)
    assert (told["notes.spenttokens"], told["notes.savedtokens"]) == (7, 6)
    assert told["io.saved"] > told["io.loaded"] / 2 > 0
    assert told["time.run"] > 0 < told["time.saved"]


def test_sums_never_fall(step):
    """What a checkpoint did that is no more is still in the sums of its step."""
    ask(3)
    for _ in range(3):
        with Checkpoint(MemoryStore(), name=step) as other, use_checkpoint(other):
            ask(3)
        del other
        gc.collect()
    assert measured(step)["misses"] == 4


def test_garbage_is_collected_at_any_time(script):
    """Checkpoints that are garbage end while others begin or metrics are read, and their counts stay in the sums."""
    script.write(
        "app.py",
        """
        import gc
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from skipstone import Checkpoint
        from skipstone.stores import MemoryStore

        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        gc.set_threshold(1)
        for _ in range(100):
            checkpoint = Checkpoint(MemoryStore(), name="step")
            checkpoint.load_or_run(abs, -1, -1)
            ring = [checkpoint]
            ring.append(ring)
            reader.get_metrics_data()
        scope = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
        print([point.value for metric in scope.metrics for point in metric.data.data_points if "misses" in metric.name])
        """,
    )
    assert script("app.py").stdout == "[100]\n"


def test_calls_that_run_have_spans(step):
    """A call that runs has a span, in which its own spans are, and saving has one; a hit has none."""
    ask(3)
    ask(3)
    assert traced() == [("mine", None), ("skipstone.run", "3"), ("skipstone.save", "3")]
    mine, run, save = spans.get_finished_spans()
    assert mine.parent.span_id == run.context.span_id
    assert save.parent is None
    assert (run.attributes["skipstone.function"], run.attributes["skipstone.step"]) == ("ask", step)


def test_a_span_tells_of_an_error(step):
    """The span of a call that raises has its error."""
    with pytest.raises(ValueError, match="negative"):
        ask(-1)
    run = spans.get_finished_spans()[-1]
    assert (run.name, run.status.is_ok) == ("skipstone.run", False)
    assert run.events[0].attributes["exception.message"] == "negative"


def test_coroutine_functions_and_lists(step):
    """Calls that are awaited have spans of their own; those that run together have one, which tells how many they are."""

    async def both():
        await asyncio.gather(later(1), later(2))

    asyncio.run(both())
    many([1, 2, 3])
    names = sorted(traced(), key=str)
    assert names.count(("skipstone.run", "1")) == names.count(("skipstone.run", "2")) == 1
    together = [span for span in spans.get_finished_spans() if "skipstone.batch_size" in span.attributes]
    assert [span.name for span in together] == ["skipstone.run", "skipstone.save"]
    assert {span.attributes["skipstone.batch_size"] for span in together} == {3}


class Watched(MemoryStore):
    """A store that tells when somebody has come for a claim again and again, and has not got it."""

    def __init__(self):
        super().__init__()
        self.refused, self.somebody_waits = 0, threading.Event()

    def claim(self, key, /):
        claim = super().claim(key)
        self.refused += claim is None
        if self.refused == 3:
            self.somebody_waits.set()
        return claim


def test_waiting_is_counted():
    """How long calls waited for the same call elsewhere is told; whoever did not wait adds nothing."""
    begun = threading.Event()
    store = Watched()

    def slow(x):
        begun.set()
        assert store.somebody_waits.wait(30)
        return x

    with Checkpoint(store) as checkpoint, use_checkpoint(checkpoint):
        ask(1)
        assert checkpoint.stats().seconds_waited == 0
        threads = [threading.Thread(target=checkpoint.load_or_run, args=(slow, 1, 1)) for _ in range(2)]
        for each in threads:
            each.start()
            assert begun.wait(30)
        for each in threads:
            each.join(30)
        stats = checkpoint.stats()
        assert (stats.hits, stats.misses) == (1, 2)
        assert 0 < stats.seconds_waited < 30


def test_programs_without_it_do_not_import_it(script):
    """Where nobody has imported OpenTelemetry, nobody does because of this."""
    script.write(
        "app.py",
        """
        import sys
        from skipstone import cache_with_checkpoint, init_checkpoint

        @cache_with_checkpoint
        def work(x):
            return x

        init_checkpoint("step")
        work(1)
        print([name for name in sys.modules if name.startswith("opentelemetry")])
        """,
    )
    assert script("app.py").stdout == "[]\n"


def test_log_records_have_attributes(step, caplog):
    """Each record tells what happened, to which call of which step, and how long it took, as attributes."""
    with caplog.at_level(logging.DEBUG, "skipstone"):
        ask(3)
        ask(3)
        with pytest.raises(ValueError, match="negative"):
            ask(-1)
    ran, hit, raised = caplog.records
    assert [(each.event, each.function, each.call_id, each.step) for each in caplog.records] == [
        ("ran", "ask", "3", step),
        ("hit", "ask", "3", step),
        ("raised", "ask", "-1", step),
    ]
    assert ran.duration_seconds > 0 < raised.duration_seconds
    assert not hasattr(hit, "duration_seconds")


def test_the_end_of_a_step_is_logged_with_its_counts(caplog):
    """The record of a closed checkpoint has its stats as plain data."""
    with caplog.at_level(logging.INFO, "skipstone"):
        with use_checkpoint(Checkpoint(MemoryStore(), name="closed")) as checkpoint:
            ask(2)
            checkpoint.close()
    (record,) = caplog.records
    assert (record.event, record.step) == ("closed", "closed")
    assert record.stats == checkpoint.stats().as_dict()


def test_stats_as_json(step):
    """Stats are plain data, whose names end with their units."""
    ask(3)
    ask(3)
    with use_checkpoint(Checkpoint(MemoryStore())) as checkpoint:
        ask(3)
        told = json.loads(json.dumps(checkpoint.stats().as_dict()))
    assert told == {
        "hits": 0,
        "misses": 1,
        "failures": 0,
        "left_alone": 0,
        "not_saved": 0,
        "saved_seconds": 0.0,
        "run_seconds": told["run_seconds"],
        "waited_seconds": 0.0,
        "loaded_bytes": 0,
        "saved_bytes": told["saved_bytes"],
        "notes_spent": {"tokens": 3},
        "notes_saved": {},
    }
