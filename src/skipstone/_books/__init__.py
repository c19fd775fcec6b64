"""What is written down beside results: failures, runs, origins, uses."""
