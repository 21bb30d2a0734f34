"""A graph run operator by operator: the reference for everything that runs faster. See `run`."""
