"""Methods that improve a quantised graph: equalization, bias correction, rounding; the formulas are in `methods`."""
