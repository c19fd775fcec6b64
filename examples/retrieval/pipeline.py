"""A small search engine over the documentation inside Python itself, in which no work is done twice.

    pip install "skipstone[examples]"
    python retrieval/pipeline.py

Stop it whenever you like (Ctrl-C, kill -9) and start it again: it goes on where it was. Start it once more
when it has finished: every call is skipped, and the answers come at once.
"""

import argparse
import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

# yake and scikit-learn, slow to import, are imported in the functions: a finished call never needs them.

LIBRARY = Path(sysconfig.get_path("stdlib"))
DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
QUESTIONS = [
    "parse a date from a string",
    "compress a file with gzip",
    "run a command in another process",
    "compute the median of numbers",
    "send an email",
]


def source_files() -> list[Path]:
    """Return the sources of the standard library, without its tests and its own applications."""
    names = sys.stdlib_module_names - {"idlelib", "lib2to3", "distutils", "turtledemo"}
    modules = [LIBRARY / f"{name}.py" for name in names]
    packages = [path for name in names for path in (LIBRARY / name).rglob("*.py") if "test" not in path.parts]
    return sorted(path for path in modules + packages if path.exists())


@cache_with_checkpoint(id="(module, source)")
def load(module: str, source: str) -> list[dict[str, Any]]:
    """Return the docstrings of one source file: its own, and those of its public classes and functions."""
    documents = []
    waiting: list[tuple[str, int, Any]] = [(module, 0, ast.parse(source))]
    for title, depth, node in waiting:  # which grows on the way
        text = ast.get_docstring(node) or ""
        if len(text) >= 60:  # shorter ones say too little to be found by
            documents.append({"module": module, "title": title, "depth": depth, "content": text})
        for child in node.body:
            if isinstance(child, DOCUMENTED) and not child.name.startswith("_"):
                waiting.append((f"{title}.{child.name}", depth + 1, child))
    return documents


def split(document: dict[str, Any], size: int = 1000) -> Iterator[dict[str, Any]]:
    """Cut a document between paragraphs into chunks of about `size` characters. Too cheap to store."""
    content = ""
    for paragraph in document["content"].split("\n\n"):
        if content and len(content) + len(paragraph) > size:
            yield document | {"content": content}
            content = ""
        content += paragraph + "\n\n"
    yield document | {"content": content}


# The id names all that the result depends on, and no more: a docstring that moves keeps its keywords.
@cache_with_checkpoint(id="(chunk['content'], count)")
def extract_keywords(chunk: dict[str, Any], count: int) -> list[str]:
    """Return the `count` phrases that say most about a chunk, best first."""
    import yake

    extractor = yake.KeywordExtractor(lan="en", n=3, top=count)
    return [phrase for phrase, _ in extractor.extract_keywords(chunk["content"])]


def fit(texts: list[str], features: int, dimensions: int) -> Any:
    """Learn from all texts which pieces of words matter, and which of them belong together."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), max_features=features, sublinear_tf=True)
    return make_pipeline(pieces, TruncatedSVD(dimensions, random_state=0), Normalizer()).fit(texts)


class Model:
    """An embedding model, fitted only when needed. Its name stands for all that its vectors depend on."""

    def __init__(self, texts: list[str], features: int, dimensions: int) -> None:
        self.settings = (texts, features, dimensions)
        self.name = f"tfidf-svd-{hashlib.sha256(repr(self.settings).encode()).hexdigest()}"

    @cached_property
    def fitted(self) -> Any:
        return get_checkpoint().load_or_run(fit, self.name, *self.settings)


@cache_with_checkpoint(id="(model.name, text)")
def embed(model: Model, text: str) -> np.ndarray:
    """Return the vector of one text."""
    return model.fitted.transform([text])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Search the documentation of Python's standard library.")
    parser.add_argument("--limit", type=int, help="read only this many documents, the most general ones")
    parser.add_argument("--index-name", default="standard-library", help="other names share no stored calls")
    options = parser.parse_args()
    config = {"index_name": options.index_name, "artifacts_dir": "artifacts"}

    # Each step has records of its own; beginning one closes the one before.
    load_step = init_checkpoint("load", config)
    documents: list[dict[str, Any]] = []
    for path in tqdm(source_files(), "load"):
        module = ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__")
        documents += load(module, path.read_text("utf-8"))
    documents.sort(key=lambda document: document["depth"])  # modules, then classes, then methods
    chunks = [chunk for document in documents[: options.limit] for chunk in split(document)]
    chunks = list({chunk["content"]: chunk for chunk in chunks}.values())  # some are written twice

    keyword_step = init_checkpoint("keywords", config)
    texts = []
    for chunk in tqdm(chunks, "keywords"):
        keywords = extract_keywords(chunk, count=10)  # said once more, they weigh more than other words
        texts.append("\n".join([chunk["title"].replace(".", " "), chunk["content"], *keywords]))

    embed_step = init_checkpoint("embed", config)
    model = Model(texts, features=20_000, dimensions=200)
    index = np.stack([embed(model, text) for text in tqdm(texts, "embed")])
    for question in QUESTIONS:
        best: dict[str, str] = {}  # the best title of each module
        for position in np.argsort(-(index @ embed(model, question))):
            best.setdefault(chunks[position]["module"], chunks[position]["title"])
        print(question, *list(best.values())[:3], sep="\n    ")

    for name, step in {"load": load_step, "keywords": keyword_step, "embed": embed_step}.items():
        stats = step.stats()
        print(f"{name}: {stats.misses} calls run, {stats.hits} skipped, {stats.seconds_saved:.1f} s saved")


if __name__ == "__main__":
    main()
