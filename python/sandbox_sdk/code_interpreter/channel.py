"""The WebSocket to one Jupyter kernel, over which several cells may be waited for at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from datetime import datetime, timezone
from typing import Any

import aiohttp

from ..deadline import Deadline
from ..exceptions import KernelException
from .cell import Cell

logger = logging.getLogger("sandbox_sdk")


class KernelChannel:
    """An open connection. When it is lost, or the kernel ends, every cell that waits fails."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._session = uuid.uuid4().hex
        self._cells: dict[str, Cell] = {}
        self._lost: KernelException | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def is_open(self) -> bool:
        return self._lost is None

    async def run(self, code: str, cell: Cell, deadline: Deadline, silent: bool = False) -> None:
        """
        Sends the code and waits until the cell is over. A kernel runs one cell after the other.

        :raises TimeoutException: it still runs
        :raises KernelException: the kernel or the connection ended
        """
        id = uuid.uuid4().hex
        self._cells[id] = cell
        try:
            await deadline.run(self._send_and_wait(id, code, cell, silent), "The cell")
        finally:
            self._cells.pop(id, None)
            cell.events.stop()

    async def close(self, reason: str = "The connection to the kernel was closed") -> None:
        """Whatever waits fails. Safe to call again."""
        self._lose(KernelException(reason))
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def _send_and_wait(self, id: str, code: str, cell: Cell, silent: bool) -> None:
        if self._lost:
            raise KernelException(str(self._lost))
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": False,
            # Cells are asked for one by one: a failure of one says nothing of those that wait behind it.
            "stop_on_error": False,
        }
        header = {
            "msg_id": id,
            "username": "",
            "session": self._session,
            "date": datetime.now(timezone.utc).isoformat(),
            "msg_type": "execute_request",
            "version": "5.3",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        try:
            await self._socket.send_str(json.dumps(message))
        except (ConnectionError, aiohttp.ClientError) as error:
            lost = KernelException(f"The connection to the kernel was lost: {error}")
            self._lose(lost)
            raise lost from error
        await cell.done

    async def _read(self) -> None:
        reason = KernelException("The connection to the kernel was lost")
        while True:
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(message.data)
            elif message.type is not aiohttp.WSMsgType.BINARY:
                break
        self._lose(reason)
        await self._socket.close()

    def _take(self, text: str) -> None:
        try:
            message: Any = json.loads(text)
            kind = message["header"]["msg_type"]
            parent = message.get("parent_header") or {}
            cell = self._cells.get(str(parent.get("msg_id")))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            logger.warning("the kernel sent a message that cannot be read: %.200s", text)
            return
        if kind == "status" and _state(message) in ("dead", "restarting", "autorestarting"):
            self._fail_cells(KernelException(f"The kernel ended while the cell ran ({_state(message)})"))
        elif cell is not None:
            cell.events.put(message)

    def _lose(self, reason: KernelException) -> None:
        if self._lost is None:
            self._lost = reason
            self._fail_cells(reason)

    def _fail_cells(self, reason: KernelException) -> None:
        for cell in self._cells.values():
            cell.fail(reason)


def _state(message: Any) -> str:
    content = message.get("content")
    return str(content.get("execution_state")) if isinstance(content, dict) else ""
