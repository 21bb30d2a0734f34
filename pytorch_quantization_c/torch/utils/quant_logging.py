"""Peace between the handlers of several libraries' loggers."""
from ...utils.quant_logging import reset_logger_handler

__all__ = ["reset_logger_handler"]
