"""Spark: a wrapped function over partitions skips the items that are done."""

import os
import sys

import pytest
from needs import need

from skipstone import cache_with_checkpoint


@pytest.fixture(scope="module")
def spark():
    """Spark with two workers."""
    import shutil

    need(shutil.which("java"), "Spark needs a Java: apt-get install default-jre-headless")
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


def functions(runs):
    """Return functions that no worker can import."""

    @cache_with_checkpoint(id="number", each="numbers", name="embed_all")
    def embed_all(numbers):
        with open(runs, "a") as file:
            file.writelines(f"{number}\n" for number in numbers)
        return [-number for number in numbers]

    def embed_partition(numbers):
        yield from embed_all(list(numbers))

    def embed_frames(frames):
        for frame in frames:
            yield frame.assign(vector=embed_all([int(number) for number in frame["id"]]))

    return embed_partition, embed_frames


def test_an_rdd(checkpoint, spark, tmp_path):
    """Of the items of a partition those that are missing run, together."""
    runs = tmp_path / "runs"
    embed_partition, _ = functions(str(runs))
    for count in (10, 15):
        vectors = spark.sparkContext.parallelize(range(count), 3).mapPartitions(checkpoint.wrap(embed_partition))
        assert vectors.collect() == [-number for number in range(count)]
    assert sorted(map(int, runs.read_text().split())) == list(range(15))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_data_frame(checkpoint, spark, tmp_path):
    """The same for the frames that `mapInPandas` gives a generator function."""
    runs = tmp_path / "runs"
    _, embed_frames = functions(str(runs))
    for count in (10, 15):
        frame = spark.range(count).mapInPandas(checkpoint.wrap(embed_frames), "id long, vector long")
        assert sorted(row.vector for row in frame.collect()) == [-number for number in reversed(range(count))]
    assert sorted(map(int, runs.read_text().split())) == list(range(15))
