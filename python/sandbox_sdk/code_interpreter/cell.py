"""One cell of code that runs: what the kernel says of it becomes an `Execution`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from ..callbacks import Callback, OrderedEvents, call_back
from ..exceptions import KernelException
from ..models import ProcessMessage
from .models import Error, Execution, Result

logger = logging.getLogger("sandbox_sdk")


class Cell:
    """
    Takes the messages of one request, in order.

    It is over when the kernel has replied and is idle again, whichever comes last: output may follow the reply.
    """

    def __init__(self, on_stdout: Callback | None, on_stderr: Callback | None, on_result: Callback | None) -> None:
        self.execution = Execution()
        self.done: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self._on_stdout = on_stdout
        self._on_stderr = on_stderr
        self._on_result = on_result
        self._replied = False
        self._idle = False
        self.events = OrderedEvents(self._handle)

    def fail(self, reason: KernelException) -> None:
        self.events.put(reason)

    async def _handle(self, event: Mapping[str, Any] | KernelException) -> bool:
        if isinstance(event, KernelException):
            self._settle(event)
            return True
        try:
            await self._take(event["header"]["msg_type"], event["content"])
        except (KeyError, TypeError, AttributeError, ValueError):
            logger.warning("the kernel sent a message that cannot be read: %.200s", event)
        if not (self._replied and self._idle):
            return False
        self._settle(None)
        return True

    async def _take(self, kind: str, content: Mapping[str, Any]) -> None:
        execution = self.execution
        if kind == "stream":
            await self._take_stream(str(content["name"]), str(content["text"]))
        elif kind in ("execute_result", "display_data"):
            result = Result.from_bundle(content["data"], kind == "execute_result")
            execution.results.append(result)
            await call_back(self._on_result, result)
        elif kind == "error":
            execution.error = _read_error(content)
        elif kind == "execute_input":
            execution.execution_count = int(content["execution_count"])
        elif kind == "status":
            self._idle = content["execution_state"] == "idle"
        elif kind == "execute_reply":
            self._replied = True
            status = content.get("status")
            if status == "error" and execution.error is None:
                execution.error = _read_error(content)
            elif status in ("abort", "aborted") and execution.error is None:
                execution.error = Error("Aborted", "The kernel did not run the cell", "")

    async def _take_stream(self, name: str, text: str) -> None:
        error = name == "stderr"
        (self.execution.logs.stderr if error else self.execution.logs.stdout).append(text)
        message = ProcessMessage(line=text, timestamp=time.time_ns(), error=error)
        await call_back(self._on_stderr if error else self._on_stdout, message)

    def _settle(self, error: KernelException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(self.execution)
        else:
            self.done.set_exception(error)
            # It may be that nobody waits any more.
            self.done.exception()


def _read_error(content: Mapping[str, Any]) -> Error:
    lines = [str(line) for line in content.get("traceback") or []]
    return Error(str(content.get("ename", "")), str(content.get("evalue", "")), "\n".join(lines), lines)
