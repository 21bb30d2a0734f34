"""The version of the package, under the original's name."""
from ..version import __version__

__all__ = ["__version__"]
