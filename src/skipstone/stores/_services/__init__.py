"""Stores that services keep: databases, and object storage."""
