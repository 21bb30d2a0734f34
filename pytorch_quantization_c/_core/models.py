"""Whether an argument is a model, of which front, and what to suggest if it is not."""
from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["front_of", "is_graph", "require_front", "require_module"]

ONNX = ("pytorch_quantization_c.graph quantises it as it is: `graph.quantize(graph.load(path), batches)`, and "
        "`graph.save` writes it; functions for models take the layers of float_nn or torch")
ROOTS = {"numpy": "pytorch_quantization_c", "torch": "pytorch_quantization_c.torch"}
MODELS = {"numpy": "a float_nn model", "torch": "a torch model"}


def is_graph(model: object) -> bool:
    """Whether this is a network of `pytorch_quantization_c.graph`, an `onnx_ir.Model`; imports nothing."""
    return type(model).__name__ == "Model" and type(model).__module__.partition(".")[0] == "onnx_ir"


def require_module(model: object, argument: str = "model") -> None:
    """TypeError, with a remedy, unless `model` is a module of either front."""
    if isinstance(model, type) and hasattr(model, "named_modules"):
        raise TypeError(f"Expected `{argument}` to be a module, got the class {model.__name__}: "
                        f"make one, `{model.__name__}(...)`")
    if not hasattr(model, "named_modules"):
        raise TypeError(f"Expected `{argument}` to be a module, got {type(model).__name__}{_remedy(model)}")


def _remedy(value: object) -> str:
    packages = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    path = os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
    if packages & {"onnx", "onnx_ir", "onnxruntime"} or path.endswith(".onnx"):
        return f", which is an ONNX model: {ONNX}"
    if path:
        return ", which is a path: make the model and load the file into it"
    if isinstance(value, Mapping):
        return ", which is a mapping: a state dictionary goes into a model by `model.load_state_dict(state)`"
    if packages & {"tensorflow", "keras", "jax", "flax"}:
        return ", of another framework: make the network of float_nn or torch layers and load its weights"
    return ""


def front_of(model: object) -> str | None:
    """"torch" for a torch.nn.Module, "numpy" for a module of float_nn, None for another class with modules."""
    homes = [cls.__module__ for cls in type(model).__mro__]
    if any(home.startswith("torch.nn.") for home in homes):
        return "torch"
    return "numpy" if any(home.startswith("pytorch_quantization_c.float_nn") for home in homes) else None


def is_frozen(module: object) -> bool:
    """Whether a module is a layer whose weight was fixed as integers."""
    return getattr(vars(module).get("_engine"), "frozen", None) is not None


def require_front(model: object, front: str, function: str) -> None:
    """TypeError if `model` is none, or of the other front: the message says what to call instead."""
    require_module(model)
    found = front_of(model)
    if found is not None and found != front:
        raise TypeError(f"Expected `model` to be {MODELS[front]}, got {type(model).__name__}, which is "
                        f"{MODELS[found]}: call {ROOTS[found]}.{function}")
