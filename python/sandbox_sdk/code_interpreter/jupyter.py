"""Cells of code in the kernels of the sandbox's Jupyter server."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from typing import Any

import aiohttp

from ..callbacks import Callback
from ..connection import Connection
from ..constants import HOME, JUPYTER_PORT, TIMEOUT
from ..deadline import Deadline
from ..exceptions import KernelException, RpcException, SandboxException
from ..http import request, request_json
from ..paths import resolve_path
from ..rpc import open_socket
from .cell import Cell
from .channel import KernelChannel
from .models import Execution

_KERNEL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_KERNEL_ID_FILE = f"{HOME}/.jupyter/kernel_id"


class Kernel(str):
    """The id of a kernel, which is what the other methods take; it also knows the kernel's name and state."""

    name: str
    state: str

    def __new__(cls, id: str, name: str = "", state: str = "") -> Kernel:
        kernel = super().__new__(cls, id)
        kernel.name = name
        kernel.state = state
        return kernel

    @property
    def kernel_id(self) -> str:
        return str(self)


class JupyterExtension:
    """Runs cells. A kernel keeps its variables from one to the next."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._default: str | None = None
        self._channels: dict[str, KernelChannel] = {}
        self._opening: dict[str, asyncio.Lock] = {}

    async def exec_cell(
        self,
        code: str,
        kernel_id: str | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_result: Callback | None = None,
        timeout: float | None = TIMEOUT,
    ) -> Execution:
        """
        Runs code and waits for the end of it. An exception of the code is in `Execution.error`.

        :param kernel_id: else the one that the template has started
        :param on_stdout: called with each `ProcessMessage`, whose line is a piece of the output
        :param on_result: called with each `Result`
        :param timeout: seconds for all of it, with the cells before it; the code goes on, `interrupt_kernel` ends it
        :raises KernelException: the kernel, or the server of the kernels, is not there or has ended
        """
        deadline = Deadline(timeout)
        id = _check_id(kernel_id or await self._default_kernel(deadline))
        channel = await self._channel(id, deadline)
        cell = Cell(on_stdout, on_stderr, on_result)
        await channel.run(code, cell, deadline)
        return cell.execution

    async def create_kernel(
        self, cwd: str = HOME, kernel_name: str | None = None, timeout: float | None = TIMEOUT
    ) -> Kernel:
        """
        Starts a kernel.

        :param cwd: its directory; kernels of Python make it if it is not there
        :param kernel_name: which kind, else the server's default
        """
        deadline = Deadline(timeout)
        directory = resolve_path(cwd, self._connection.cwd)
        name = str(uuid.uuid4())
        kernel = {"name": kernel_name} if kernel_name else {}
        body: dict[str, Any] = {"path": name, "name": name, "type": "notebook", "kernel": kernel}
        session = await self._json("POST", "/api/sessions", "create kernel", deadline, json=body)
        made = _read_kernel(_field(session, "kernel"))
        try:
            await self._json(
                "PATCH",
                f"/api/sessions/{_check_id(_field(session, 'id'))}",
                "set the kernel's path",
                deadline,
                json={"path": directory},
            )
            if made.name.startswith(("python", "xpython")):
                # The server takes its own folder for the root of every path; so the kernel is told by itself.
                code = f"import os; os.makedirs({directory!r}, exist_ok=True); os.chdir({directory!r}); del os"
                await self._run_silently(made, code, deadline)
        except BaseException:
            await self._shutdown_quietly(made)
            raise
        return made

    async def list_kernels(self, timeout: float | None = TIMEOUT) -> list[Kernel]:
        rows = await self._json("GET", "/api/kernels", "list kernels", Deadline(timeout))
        if not isinstance(rows, list):
            raise KernelException(f"The server of the kernels answered {str(rows)[:200]} for the list of kernels")
        return [_read_kernel(row) for row in rows]

    async def restart_kernel(self, kernel_id: str | None = None, timeout: float | None = TIMEOUT) -> None:
        """Its variables are gone; cells that run fail with `KernelException`."""
        deadline = Deadline(timeout)
        id = _check_id(kernel_id or await self._default_kernel(deadline))
        await self._drop_channel(id, "The kernel was restarted")
        await self._json("POST", f"/api/kernels/{id}/restart", "restart kernel", deadline)

    async def interrupt_kernel(self, kernel_id: str | None = None, timeout: float | None = TIMEOUT) -> None:
        """The cell that runs gets a `KeyboardInterrupt`."""
        deadline = Deadline(timeout)
        id = _check_id(kernel_id or await self._default_kernel(deadline))
        await self._request("POST", f"/api/kernels/{id}/interrupt", "interrupt kernel", deadline)

    async def shutdown_kernel(self, kernel_id: str | None = None, timeout: float | None = TIMEOUT) -> None:
        """Ends it; cells that run fail with `KernelException`."""
        deadline = Deadline(timeout)
        id = _check_id(kernel_id or await self._default_kernel(deadline))
        await self._drop_channel(id, "The kernel was shut down")
        await self._request("DELETE", f"/api/kernels/{id}", "shut down kernel", deadline)

    async def close(self) -> None:
        """Ends the connections; the kernels go on."""
        for id in [*self._channels]:
            await self._drop_channel(id, "The connection to the kernel was closed")

    async def _default_kernel(self, deadline: Deadline) -> str:
        if self._default is None:
            rpc = await self._connection.rpc(deadline)
            try:
                text = await rpc.call("filesystem_read", _KERNEL_ID_FILE, deadline=deadline)
            except RpcException as error:
                raise KernelException(
                    f"This sandbox has no kernel of its own ({error.message}). "
                    "Start it from a template for code interpreters, or use create_kernel."
                ) from error
            self._default = _check_id(str(text).strip())
        return self._default

    async def _channel(self, id: str, deadline: Deadline) -> KernelChannel:
        lock = self._opening.setdefault(id, asyncio.Lock())

        async def open_channel() -> KernelChannel:
            async with lock:
                known = self._channels.get(id)
                if known is not None and known.is_open:
                    return known
                url = self._connection.url(JUPYTER_PORT, f"/api/kernels/{id}/channels", "ws")
                try:
                    socket = await open_socket(self._connection.session(), url)
                except (aiohttp.ClientError, ConnectionError) as error:
                    raise KernelException(f"The kernel {id} cannot be reached: {error}") from error
                made = self._channels[id] = KernelChannel(socket)
                return made

        return await deadline.run(open_channel(), "Connecting to the kernel")

    async def _drop_channel(self, id: str, reason: str) -> None:
        self._opening.pop(id, None)
        channel = self._channels.pop(id, None)
        if channel is not None:
            await channel.close(reason)

    async def _run_silently(self, id: str, code: str, deadline: Deadline) -> None:
        channel = await self._channel(id, deadline)
        cell = Cell(None, None, None)
        await channel.run(code, cell, deadline, silent=True)
        if cell.execution.error:
            raise KernelException(f"{cell.execution.error.name}: {cell.execution.error.value}")

    async def _shutdown_quietly(self, id: str) -> None:
        with contextlib.suppress(KernelException, SandboxException):
            await asyncio.shield(asyncio.ensure_future(self.shutdown_kernel(id, 10)))

    async def _json(self, method: str, route: str, what: str, deadline: Deadline, **options: Any) -> Any:
        url = self._connection.url(JUPYTER_PORT, route)
        session = self._connection.session()
        return await request_json(session, method, url, what, deadline, KernelException, ok=(200, 201), **options)

    async def _request(self, method: str, route: str, what: str, deadline: Deadline) -> None:
        url = self._connection.url(JUPYTER_PORT, route)
        session = self._connection.session()
        async with request(session, method, url, what, deadline, KernelException, ok=(200, 204)):
            pass


def _check_id(id: Any) -> str:
    """Ids come from the sandbox, too, and become part of a URL."""
    if not isinstance(id, str) or not _KERNEL_ID.fullmatch(id):
        raise KernelException(f"{str(id)[:100]!r} is no id of a kernel")
    return id


def _field(answer: Any, name: str) -> Any:
    if not isinstance(answer, dict) or name not in answer:
        raise KernelException(f"The server of the kernels answered {str(answer)[:200]}, which has no {name}")
    return answer[name]


def _read_kernel(row: Any) -> Kernel:
    state = row.get("execution_state", "") if isinstance(row, dict) else ""
    return Kernel(_check_id(_field(row, "id")), str(_field(row, "name")), str(state))
