"""Stores in services: databases and object storage."""
