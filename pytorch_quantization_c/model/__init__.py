"""Operations on a whole model, of either front: replace, calibrate, measure, summarise, save, freeze.

Most are also names of the package itself, as `pq.calibrating`; the classes of their results are here.
"""
__all__ = ["calibrating", "freeze", "quantizers", "sensitivity", "state_file", "summary"]
