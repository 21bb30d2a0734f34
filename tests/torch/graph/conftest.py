"""These tests need torch and the extra `onnx`."""
from importlib.util import find_spec

collect_ignore_glob = ["test_*.py"] if find_spec("onnxscript") is None else []
