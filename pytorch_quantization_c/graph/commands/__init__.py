"""What `python -m pytorch_quantization_c` does with ONNX files."""
