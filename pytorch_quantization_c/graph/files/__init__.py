"""Files into graphs and back: ONNX of ours and of others, and what lies beside it."""
