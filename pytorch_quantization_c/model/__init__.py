"""The verbs over a whole model, of either front: replace, calibrate, measure, summarise, save, freeze.

Most are names of the package itself, as `pq.calibrating`; here are the classes of what they return.
"""
__all__ = ["calibrating", "freeze", "quantizers", "sensitivity", "state_file", "summary"]
