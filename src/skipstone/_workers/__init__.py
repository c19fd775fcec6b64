"""Workers, which run the missing calls of a map: threads, processes, clusters."""
