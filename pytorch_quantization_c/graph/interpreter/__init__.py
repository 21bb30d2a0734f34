"""A graph run operator by operator: the oracle of everything that runs faster. See `run`."""
