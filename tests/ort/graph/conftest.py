"""These tests need the extra `onnx`, and torch where their names say so."""
from importlib.util import find_spec

collect_ignore_glob = ["test_*.py"] if find_spec("onnxscript") is None else []
