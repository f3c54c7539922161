"""A SIMULATED card: its driver's library, a runtime on it, and a fixture with both."""
