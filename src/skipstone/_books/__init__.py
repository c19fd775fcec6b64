"""What is recorded beside results: failures, runs, origins, uses."""
