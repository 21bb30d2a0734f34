"""What the nodes of a graph say and compute, its names and constants. The other packages here build on it."""
