"""What earlier commits stored in object storage is found by this one, which goes on with it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../fixtures"))

import earlier


@earlier.commits_with("objects")
def test_what_was_kept_as_objects(commit, s3, tmp_path, monkeypatch):
    """What every earlier commit kept in object storage is found, and more is kept beside it."""
    kept = earlier.Kept(commit, tmp_path / commit)
    folder = kept.folder / "objects"
    client = s3.client(f"earlier-{commit}")
    for path in folder.rglob("*"):
        if path.is_file():
            client.put(str(path.relative_to(folder)), path.read_bytes())
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    earlier.is_kept(kept, kept.shared_steps, {"store": s3.url(f"earlier-{commit}")})
