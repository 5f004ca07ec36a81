"""A sandbox with a Jupyter server in it."""

from __future__ import annotations

from typing import Any, ClassVar

from ..constants import DEFAULT_CODE_INTERPRETER_TEMPLATE
from ..sandbox import Sandbox
from .jupyter import JupyterExtension


class CodeInterpreter(Sandbox):
    """A sandbox from a template for code interpreters. Cells are run by `notebook.exec_cell`."""

    default_template: ClassVar[str] = DEFAULT_CODE_INTERPRETER_TEMPLATE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """For `create` and `connect`."""
        super().__init__(*args, **kwargs)
        self.notebook = JupyterExtension(self._connection)

    async def _disconnect(self) -> None:
        try:
            await self.notebook.close()
        finally:
            await super()._disconnect()
