"""Turn results into bytes and back."""
