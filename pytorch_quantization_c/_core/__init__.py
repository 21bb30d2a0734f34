"""Rules that the NumPy front and the torch twin share: descriptor, quantiser, calibrator base, ONNX nodes.

Nothing here knows which arrays a front uses: a rule that must touch one calls a method of its host.
"""
