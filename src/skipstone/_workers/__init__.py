"""Where the missing calls of a map run: threads, processes, clusters."""
