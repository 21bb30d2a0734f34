"""What torch.nn is to the original, on NumPy arrays: modules, layers and their functional forms, forward only."""
from . import init
from .container import ModuleDict, ModuleList, Sequential
from .init import manual_seed
from .module import Module
from .parameter import Parameter

__all__ = ["Module", "ModuleDict", "ModuleList", "Parameter", "Sequential", "init", "manual_seed"]
