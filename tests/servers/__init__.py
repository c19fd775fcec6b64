"""Real servers, started and stopped by the tests that use them; each listens to this machine alone."""
