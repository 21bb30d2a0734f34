"""Analysis of a quantised graph: its nodes, and its noise layer by layer."""
