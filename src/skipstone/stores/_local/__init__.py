"""The local store: a SQLite database, and a file for each large payload, named by its row."""
