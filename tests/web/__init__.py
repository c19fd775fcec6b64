"""The page: who may see it, what it shows, and how it looks and behaves in a browser."""
