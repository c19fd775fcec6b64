"""One adapter per peer, each set up as its documentation advises.

An adapter imports its library when it is made, and opens what it finds in the folder. Where a peer identifies a call
by its arguments, it is given the id instead of the document: hashing a text is the cheapest that it can do.
"""

import os

import work


class Peer:
    """What is common to all."""

    module = ""
    """What is imported."""
    distributions = ()
    """What is installed: packages whose versions go with the results."""
    slow = False
    """Given a tenth of the records, for there is no end of it otherwise."""

    def __init__(self, folder):
        raise NotImplementedError

    def save(self, document):
        """Run a call that is not done."""
        self.hit(document)

    def hit(self, document):
        """Return the result of a call that is done."""
        raise NotImplementedError

    def prepare(self, documents):
        """Run many calls that are not done."""
        for document in documents:
            self.save(document)

    def load_all(self):
        """Get ready for many hits, before the clock starts: nothing, for all but the floor."""

    def hits(self, documents):
        """Return the last of the results of many calls that are done."""
        hit = self.hit
        result = None
        for document in documents:
            result = hit(document)
        return result


class ByHand(Peer):
    """The floor: a digest, a checksum, `pickle`, and a dictionary for many hits; for all else, a table of SQLite."""

    module = "sqlite3"
    distributions = ("xxhash",)

    def __init__(self, folder):
        import pickle
        import sqlite3
        from _blake2 import blake2b

        from xxhash import xxh3_64_digest

        self._loads, self._dumps, self._checksum = pickle.loads, pickle.dumps, xxh3_64_digest
        self._digest = blake2b(b"work.summarize", digest_size=16)
        self._connection = sqlite3.connect(f"{folder}/records.sqlite3", isolation_level=None)
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

    def prepare_a_million(self, some, documents):
        query = "SELECT 1 FROM records WHERE key = ?"
        if all(self._connection.execute(query, (self._key(document.id),)).fetchone() for document in some):
            return
        self._connection.execute("BEGIN")
        self._connection.execute("DELETE FROM records")
        self.prepare(documents)
        self._connection.execute("COMMIT")
        self._connection.close()


class Skipstone(Peer):
    """A decorated function with an expression for its id."""

    module = "skipstone"
    distributions = ("skipstone",)

    def __init__(self, folder):
        from skipstone import cache_with_checkpoint, init_checkpoint

        self._checkpoint = init_checkpoint("benchmark", {"artifacts_dir": folder})
        self.hit = cache_with_checkpoint(id="document.id")(work.summarize)

    def prepare_a_million(self, some, documents):
        """Fill the store through its own `put`, a transaction for all; leave it as it is where it holds some of them."""
        import skipstone._function

        known, _ = skipstone._function.known(self.hit)
        store = self._checkpoint._engine._store
        if len(store.present([known.key(document.id) for document in some])) == len(some):
            record = store.get(known.key(some[0].id))
            if record.origin.code == known.code:
                return
        self._checkpoint.clear()
        self.hit(some[0])
        model = store.get(known.key(some[0].id))
        with store._connection as connection:
            connection.execute("BEGIN")
            for document in documents:
                store.put(model._replace(key=known.key(document.id), call_id=document.id))
            connection.execute("COMMIT")
        self._checkpoint.close()


class Memoized(Peer):
    """`Cache.memoize`."""

    def __init__(self, folder):
        self._memoized = __import__(self.module).Cache(folder).memoize()(work.summarize_id)

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


class BareCache(Peer):
    """`get` and `set`: no decorator, no id to be made, no checksum."""

    def __init__(self, folder):
        self._cache = __import__(self.module).Cache(folder)
        self._get, self._set = self._cache.get, self._cache.set

    def save(self, document):
        self._set(document.id, work.summarize(document))

    def hit(self, document):
        return self._get(document.id)


class DiskcacheBare(BareCache):
    module = "diskcache"
    distributions = ("diskcache",)


class DiskcacheRsBare(BareCache):
    module = "diskcache_rs"
    distributions = ("diskcache-rs",)


class Exca(Peer):
    """A `MapInfra`, which takes all items in one call."""

    module = "exca"
    distributions = ("exca",)

    def __init__(self, folder):
        from collections.abc import Iterable, Iterator

        import exca
        import pydantic

        class Summaries(pydantic.BaseModel):
            infra: exca.MapInfra = exca.MapInfra()

            @infra.apply(item_uid=str)
            def summarize(self, identifiers: Iterable[str]) -> Iterator[dict]:
                for identifier in identifiers:
                    yield work.summarize_id(identifier)

        self._summarize = Summaries(infra={"folder": folder}).summarize

    def hit(self, document):
        return self.hits([document])

    def prepare(self, documents):
        self.hits(documents)

    def hits(self, documents):
        result = None
        for result in self._summarize([document.id for document in documents]):  # noqa: B007 - the last is wanted
            pass
        return result


class ExcaOneByOne(Exca):
    """The same, with a call for each item."""

    slow = True

    prepare, hits = Peer.prepare, Peer.hits

    def hit(self, document):
        return next(iter(self._summarize([document.id])))


class Joblib(Peer):
    """`Memory.cache`."""

    module = "joblib"
    distributions = ("joblib",)

    def __init__(self, folder):
        import joblib

        self._cached = joblib.Memory(folder, verbose=0).cache(work.summarize_id)

    def hit(self, document):
        return self._cached(document.id)


class Checkpointer(Peer):
    """`checkpoint`, with files in a folder of its own."""

    module = "checkpointer"
    distributions = ("checkpointer",)

    def __init__(self, folder):
        from checkpointer import checkpoint

        self._cached = checkpoint(directory=folder, verbosity=0)(work.summarize_id)

    def hit(self, document):
        return self._cached(document.id)


class Cachier(Peer):
    """The file back end, a file for each call: with one file for all, each save writes all anew."""

    module = "cachier"
    distributions = ("cachier",)
    slow = True

    def __init__(self, folder):
        from cachier import cachier

        self._cached = cachier(cache_dir=folder, separate_files=True)(work.summarize_id)

    def hit(self, document):
        return self._cached(document.id)


class PickleFiles(Peer):
    """A pickle for each call, written in place, as many pipelines do it by hand."""

    module = "pickle"

    def __init__(self, folder):
        import pickle
        from hashlib import sha256

        self._load, self._dump, self._sha256, self._folder = pickle.load, pickle.dump, sha256, folder
        self._names = set(os.listdir(folder))

    def _name(self, document):
        return f"summarize___{self._sha256(document.id.encode()).hexdigest()}.pkl"

    def save(self, document):
        with open(f"{self._folder}/{self._name(document)}", "wb") as file:
            self._dump(work.summarize(document), file)

    def hit(self, document):
        name = self._name(document)
        if name not in self._names:
            raise KeyError(name)
        with open(f"{self._folder}/{name}", "rb") as file:
            return self._load(file)


FLOOR, OURS = "by hand", "skipstone"

PEERS = {
    FLOOR: ByHand,
    OURS: Skipstone,
    "diskcache, get and set": DiskcacheBare,
    "diskcache, memoize": DiskcacheMemoize,
    "diskcache-community, memoize": DiskcacheCommunityMemoize,
    "diskcache-rs, get and set": DiskcacheRsBare,
    "diskcache-rs, memoize": DiskcacheRsMemoize,
    "exca, one call for all": Exca,
    "exca, a call for each": ExcaOneByOne,
    "joblib.Memory": Joblib,
    "checkpointer": Checkpointer,
    "cachier": Cachier,
    "one pickle per record": PickleFiles,
}
