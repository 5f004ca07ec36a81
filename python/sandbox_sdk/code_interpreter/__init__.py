"""Runs cells of code in a sandbox. Start with `CodeInterpreter.create`."""

from .interpreter import CodeInterpreter
from .jupyter import JupyterExtension, Kernel
from .models import Error, Execution, Logs, Result

__all__ = ["CodeInterpreter", "Error", "Execution", "JupyterExtension", "Kernel", "Logs", "Result"]
