"""Which values and which layers are quantised, and the quantisers that are put there."""
