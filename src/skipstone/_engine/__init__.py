"""What happens to a call, alone, in a batch or as a generator."""
