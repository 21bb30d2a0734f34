"""These tests need torch; those of the exporter that works with torch.export need onnxscript besides."""
from importlib.util import find_spec

collect_ignore_glob = ["test_*.py"] if find_spec("torch") is None else []
if find_spec("onnxscript") is None:
    collect_ignore_glob.append("test_dynamo.py")
