"""The local store: a SQLite database, and files that its rows name."""
