"""What happens to a call: alone, in a batch, or of a generator function."""
