"""The meaning and arithmetic of a graph's nodes, its names and constants. The other packages here build on it."""
