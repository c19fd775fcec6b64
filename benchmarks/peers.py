"""One adapter per peer, each set up as its documentation advises.

An adapter imports its library when it is made, and opens what it finds in the folder. Where a peer identifies a call
by its arguments, it is given the id instead of the document: hashing a text is the cheapest that it can do.
"""

import os

import work

_SMALL = (work.summarize, work.summarize_id)


class Peer:
    """What is common to all."""

    module = ""
    """What is imported."""
    distributions = ()
    """What is installed: packages whose versions go with the results."""
    lacks = ""
    """What it gives less than skipstone does."""
    most_records = 10_000
    """How many records it is given at most: with more, there would be no end of it."""
    most_calls = 20_000
    """The same for calls one by one."""
    most_bytes = 0
    """How large the results are that it is given: those peers get large ones that treat them in a way of their own."""
    loads_from_memory = False
    """What it loads is made again in the process itself."""

    def __init__(self, folder, functions=_SMALL):
        """Open a folder, for a function: one that takes a document, or the same that takes its id."""
        raise NotImplementedError

    def save(self, document):
        """Run a call that is not done."""
        self.hit(document)

    def hit(self, document):
        """Return the result of a call that is done."""
        raise NotImplementedError

    def save_all(self, documents):
        """Run many calls that are not done, one after the other."""
        for document in documents:
            self.save(document)

    def fill(self, records):
        """Run the first calls, in whatever way is fastest."""
        self.save_all(work.some_documents(records))

    def load_all(self):
        """Get ready for many hits, before the clock starts: nothing, for all but the floor."""

    def hits(self, documents):
        """Return the last of the results of many calls that are done."""
        hit = self.hit
        result = None
        for document in documents:
            result = hit(document)
        return result

    def save_large(self, document):
        """Run a call with a large result."""
        self.save(document)

    def load_large(self, document):
        """Return its result."""
        return self.hit(document)


class ByHand(Peer):
    """The floor: a digest, a checksum, `pickle`, and a dictionary for many hits; for all else, a table of SQLite."""

    module = "sqlite3"
    distributions = ("xxhash",)
    lacks = "everything but the checksum: it is the floor"
    most_records = 1_000_000
    most_bytes = 1 << 30
    loads_from_memory = True

    def __init__(self, folder, _functions=_SMALL):
        import pickle
        import sqlite3
        from _blake2 import blake2b

        from xxhash import xxh3_64_digest

        self._folder = folder
        self._loads, self._dumps, self._checksum = pickle.loads, pickle.dumps, xxh3_64_digest
        self._digest = blake2b(b"work.summarize", digest_size=16)
        self._connection = sqlite3.connect(f"{folder}/records.sqlite3", isolation_level=None, timeout=60)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY, key BLOB UNIQUE, checksum, payload)"
        )
        self._rows = {}

    def _key(self, identifier):
        digest = self._digest.copy()
        digest.update(identifier.encode())
        return digest.digest()

    def save(self, document):
        payload = self._dumps(work.summarize(document), 5)
        row = (self._key(document.id), self._checksum(payload), payload)
        self._connection.execute("INSERT INTO records (key, checksum, payload) VALUES (?, ?, ?)", row)

    def save_in_bulk(self, documents):
        self._connection.execute("BEGIN IMMEDIATE")
        self.save_all(documents)
        self._connection.execute("COMMIT")

    def hit(self, document):
        key = self._key(document.id)
        query = "SELECT checksum, payload FROM records WHERE key = ?"
        checksum, payload = self._connection.execute(query, (key,)).fetchone()
        if self._checksum(payload) != checksum:
            raise ValueError("damaged")
        return self._loads(payload)

    def load_all(self):
        rows = self._connection.execute("SELECT key, checksum, payload FROM records")
        self._rows = {key: (checksum, payload) for key, checksum, payload in rows}

    def hits(self, documents):
        rows, digest, checksum, loads = self._rows, self._digest, self._checksum, self._loads
        if not rows:
            return super().hits(documents)
        result = None
        for document in documents:
            key = digest.copy()
            key.update(document.id.encode())
            expected, payload = rows[key.digest()]
            if checksum(payload) != expected:
                raise ValueError("damaged")
            result = loads(payload)
        return result

    hits_in_bulk = hits

    def count(self, documents):
        keys = {key for (key,) in self._connection.execute("SELECT key FROM records")}
        return sum(self._key(document.id) in keys for document in documents)

    def fill(self, records):
        self._connection.execute("PRAGMA cache_size = -400000")
        self.save_in_bulk(work.some_documents(records))

    def save_large(self, document):
        """A bare `write` of the same bytes; what a hit reads is not among what is timed."""
        value = work.LARGE[document.id]
        with open(f"{self._folder}/{document.id[-8:]}", "wb", buffering=0) as file:
            view = memoryview(value if isinstance(value, bytes) else _array_of(value)).cast("B")
            while view:
                view = view[file.write(view) :]

    def load_large(self, document):
        """A copy of the same bytes, from memory to memory."""
        value = work.LARGE[document.id]
        return bytearray(value) if isinstance(value, bytes) else value.copy()

    def digest(self, value):
        """Digest what pickle makes of it."""
        from xxhash import xxh3_128_digest

        buffers = []
        pickled = self._dumps(value, 5, buffer_callback=buffers.append)
        return [xxh3_128_digest(part) for part in (pickled, *buffers)]

    def spin(self, documents, processes):
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(processes) as executor:
            for _ in executor.map(work.spin, documents, chunksize=2):
                pass


def _array_of(value):
    return value if hasattr(value, "data") and not hasattr(value, "columns") else value.to_numpy().T.ravel()


class Skipstone(Peer):
    """A decorated function with an expression for its id, and `map` for many calls."""

    module = "skipstone"
    distributions = ("skipstone",)
    most_records = 10_000_000
    most_bytes = 1 << 30
    config = {}

    def __init__(self, folder, functions=_SMALL):
        from skipstone import cache_with_checkpoint, init_checkpoint

        self._checkpoint = init_checkpoint("benchmark", {"artifacts_dir": folder, **self.config})
        self.hit = cache_with_checkpoint(id="document.id")(functions[0])

    def hits_in_bulk(self, documents):
        result = None
        for result in self._checkpoint.map(self.hit, documents):  # noqa: B007 - the last is wanted
            pass
        return result

    def save_in_bulk(self, documents):
        self._checkpoint.map(self.hit, documents).drain()

    def count(self, documents):
        return self._checkpoint.map(self.hit, documents).drain().done_before

    def fill(self, records):
        """Save the first one, and copy its row for the others, in one transaction."""
        import skipstone._functions._function

        documents = work.some_documents(records)
        self.hit(next(documents))
        known, _ = skipstone._functions._function.known(self.hit)
        with self._checkpoint._engine._store._connection as connection:
            columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(records)")]
            others = ", ".join(set(columns) - {"sequence", "key", "call_id"})
            copy = f"SELECT ?, ?, {others} FROM records WHERE sequence = 1"
            connection.execute("PRAGMA cache_size = -1500000")
            connection.execute("BEGIN")
            connection.executemany(
                f"INSERT INTO records (key, call_id, {others}) {copy}",
                ((known.key(document.id), document.id) for document in documents),
            )
            connection.execute("COMMIT")
        self._checkpoint.close()

    def digest(self, value):
        from skipstone._functions._function import KnownFunction

        return KnownFunction(work.summarize).key({"document": value})

    def spin(self, documents, processes):
        self._checkpoint.map(
            work.spin, documents, id="document.id", executor="processes", workers=processes
        ).drain()


class SkipstoneCompressed(Skipstone):
    """The same, with compression."""

    distributions = ("skipstone", "zstandard")
    most_records = 10_000
    config = {"compression": "zstd"}


class Memoized(Peer):
    """`Cache.memoize`."""

    lacks = "once, checksums"
    settings = {"eviction_policy": "none"}

    def __init__(self, folder, functions=_SMALL):
        self._memoized = __import__(self.module).Cache(folder, **self.settings).memoize()(functions[1])

    def hit(self, document):
        return self._memoized(document.id)


class DiskcacheMemoize(Memoized):
    module = "diskcache"
    distributions = ("diskcache",)


class DiskcacheCommunityMemoize(Memoized):
    module = "diskcache_community"
    distributions = ("diskcache-community",)


class DiskcacheRsMemoize(Memoized):
    module = "diskcache_rs"
    distributions = ("diskcache-rs",)
    settings = {"size_limit": 1 << 34, "count_limit": 1 << 24}


class BareCache(Peer):
    """`get` and `set`: no decorator, no id to be made."""

    lacks = "function, id, once, checksums"
    most_records = 1_000_000
    settings = {"eviction_policy": "none"}

    def __init__(self, folder, functions=_SMALL):
        self._function = functions[0]
        self._cache = __import__(self.module).Cache(folder, **self.settings)
        self._get, self._set = self._cache.get, self._cache.set

    def save(self, document):
        self._set(document.id, self._function(document))

    def save_in_bulk(self, documents):
        with self._cache.transact():
            self.save_all(documents)

    def hit(self, document):
        return self._get(document.id)

    def count(self, documents):
        cache = self._cache
        return sum(document.id in cache for document in documents)


class DiskcacheBare(BareCache):
    module = "diskcache"
    distributions = ("diskcache",)
    most_bytes = 64 << 20

    def fill(self, records):
        documents = work.documents(records)
        for start in range(0, records, 50_000):
            self.save_in_bulk(documents[start : start + 50_000])


class DiskcacheCommunityBare(DiskcacheBare):
    module = "diskcache_community"
    distributions = ("diskcache-community",)
    most_records = 10_000
    most_bytes = 0


class DiskcacheRsBare(BareCache):
    module = "diskcache_rs"
    distributions = ("diskcache-rs",)
    settings = {"size_limit": 1 << 34, "count_limit": 1 << 24}


class Exca(Peer):
    """A `MapInfra`, which takes all items in one call; or a call for each."""

    module = "exca"
    distributions = ("exca",)
    lacks = "checksums, quick calls one by one"
    most_records = 1_000_000
    most_calls = 1_000

    def __init__(self, folder, functions=_SMALL):
        from collections.abc import Iterable, Iterator

        import exca
        import pydantic

        class Summaries(pydantic.BaseModel):
            infra: exca.MapInfra = exca.MapInfra()

            @infra.apply(item_uid=str)
            def summarize(self, identifiers: Iterable[str]) -> Iterator[dict]:
                for identifier in identifiers:
                    yield functions[1](identifier)

        self._summarize = Summaries(infra={"folder": folder}).summarize

    def hit(self, document):
        return next(iter(self._summarize([document.id])))

    def hits_in_bulk(self, documents):
        result = None
        for result in self._summarize([document.id for document in documents]):  # noqa: B007 - the last is wanted
            pass
        return result

    save_in_bulk = hits_in_bulk

    def fill(self, records):
        self.save_in_bulk(work.some_documents(records))


class Joblib(Peer):
    """`Memory.cache`."""

    module = "joblib"
    distributions = ("joblib",)
    lacks = "once, checksums"
    most_bytes = 64 << 20

    def __init__(self, folder, functions=_SMALL):
        import joblib

        self._cached = joblib.Memory(folder, verbose=0).cache(functions[1])

    def hit(self, document):
        return self._cached(document.id)

    def digest(self, value):
        import joblib

        return joblib.hash(value)


class Checkpointer(Peer):
    """`checkpoint`, with files in a folder of its own."""

    module = "checkpointer"
    distributions = ("checkpointer",)
    lacks = "once, crash safety, checksums"

    def __init__(self, folder, functions=_SMALL):
        from checkpointer import checkpoint

        self._cached = checkpoint(directory=folder, verbosity=0)(functions[1])

    def hit(self, document):
        return self._cached(document.id)


class Cachier(Peer):
    """The file back end, a file for each call: with one file for all, each save writes all anew."""

    module = "cachier"
    distributions = ("cachier",)
    lacks = "crash safety, checksums"
    most_records = most_calls = 1_000

    def __init__(self, folder, functions=_SMALL):
        from cachier import cachier

        self._cached = cachier(cache_dir=folder, separate_files=True)(functions[1])

    def hit(self, document):
        return self._cached(document.id)


class Dbos(Peer):
    """A workflow for each call, whose id is the call's, kept in SQLite."""

    module = "dbos"
    distributions = ("dbos",)
    lacks = "checksums"
    most_records = most_calls = 1_000

    def __init__(self, folder, functions=_SMALL):
        import dbos

        self._with_id = dbos.SetWorkflowID
        self._workflow = dbos.DBOS.workflow()(functions[1])
        database = f"sqlite:///{folder}/dbos.sqlite"
        # Of one version, since a workflow of another is not found again.
        dbos.DBOS(
            config={
                "name": "benchmark",
                "system_database_url": database,
                "application_version": "1",
                "log_level": "ERROR",
            }
        )
        dbos.DBOS.launch()

    def hit(self, document):
        with self._with_id(document.id):
            return self._workflow(document.id)


class PickleFiles(Peer):
    """A pickle for each call, written in place, as many pipelines do it by hand."""

    module = "pickle"
    most_bytes = 64 << 20
    lacks = "once, crash safety, checksums"

    def __init__(self, folder, functions=_SMALL):
        import pickle
        from hashlib import sha256

        self._load, self._dump, self._sha256, self._folder = pickle.load, pickle.dump, sha256, folder
        self._function = functions[0]
        self._names = set(os.listdir(folder))

    def _name(self, document):
        return f"summarize___{self._sha256(document.id.encode()).hexdigest()}.pkl"

    def save(self, document):
        name = self._name(document)
        with open(f"{self._folder}/{name}", "wb") as file:
            self._dump(self._function(document), file)
        self._names.add(name)

    def hit(self, document):
        name = self._name(document)
        if name not in self._names:
            raise KeyError(name)
        with open(f"{self._folder}/{name}", "rb") as file:
            return self._load(file)

    def count(self, documents):
        return sum(self._name(document) in self._names for document in documents)


FLOOR, OURS, COMPRESSED = "by hand", "skipstone", "skipstone, compressed"

PEERS = {
    FLOOR: ByHand,
    OURS: Skipstone,
    COMPRESSED: SkipstoneCompressed,
    "diskcache, get and set": DiskcacheBare,
    "diskcache, memoize": DiskcacheMemoize,
    "diskcache-community, get and set": DiskcacheCommunityBare,
    "diskcache-community, memoize": DiskcacheCommunityMemoize,
    "diskcache-rs, get and set": DiskcacheRsBare,
    "diskcache-rs, memoize": DiskcacheRsMemoize,
    "exca": Exca,
    "joblib.Memory": Joblib,
    "checkpointer": Checkpointer,
    "cachier": Cachier,
    "dbos": Dbos,
    "one pickle per record": PickleFiles,
}
