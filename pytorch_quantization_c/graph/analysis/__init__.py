"""What a quantised graph is like: its nodes, its noise, layer by layer."""
