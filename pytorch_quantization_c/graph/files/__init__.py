"""Files to graphs and back: our ONNX files and those of other tools, and their companion files."""
