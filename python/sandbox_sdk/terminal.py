"""Terminals: an interactive shell, or a command, on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from .callbacks import Callback, OrderedEvents, call_back, call_on_exit
from .connection import Connection
from .constants import TIMEOUT
from .deadline import Deadline
from .env import merge_env
from .exceptions import RpcException, SandboxException, TerminalException
from .paths import resolve_path
from .rpc import RpcConnection, Subscription
from .subscribe import subscribe_all


class TerminalOutput:
    """What a terminal has shown so far."""

    def __init__(self) -> None:
        self._chunks: list[str] = []

    @property
    def data(self) -> str:
        if len(self._chunks) > 1:
            self._chunks = ["".join(self._chunks)]
        return self._chunks[0] if self._chunks else ""

    def __str__(self) -> str:
        return self.data

    def add(self, chunk: str) -> None:
        self._chunks.append(chunk)


class Terminal:
    """A terminal in the sandbox."""

    def __init__(
        self,
        rpc: RpcConnection,
        terminal_id: str,
        on_data: Callback | None,
        on_exit: Callback | None,
        keep_output: bool,
    ) -> None:
        self.terminal_id = terminal_id
        self.output = TerminalOutput()
        self.finished = asyncio.Event()
        """Set when its program has ended, or when it cannot be heard of any more."""
        self.subscriptions: list[Subscription] = []
        self._rpc = rpc
        self._on_data = on_data
        self._on_exit = on_exit
        self._keep_output = keep_output
        self._lost: SandboxException | None = None
        self.events = OrderedEvents(self._handle)

    @property
    def data(self) -> str:
        """Everything that it has shown so far."""
        return self.output.data

    async def send_data(self, data: str, timeout: float | None = TIMEOUT) -> None:
        """Types. :raises TerminalException: it has ended"""
        await self._call("terminal_data", self.terminal_id, data, deadline=Deadline(timeout))

    async def resize(self, cols: int, rows: int, timeout: float | None = TIMEOUT) -> None:
        await self._call("terminal_resize", self.terminal_id, cols, rows, deadline=Deadline(timeout))

    async def kill(self, timeout: float | None = TIMEOUT) -> None:
        """Ends its program. Nothing more is heard of it."""
        await self._call("terminal_destroy", self.terminal_id, deadline=Deadline(timeout))
        self.events.put(None)

    async def wait(self, timeout: float | None = None) -> TerminalOutput:
        """
        Waits until its program has ended.

        :raises TimeoutException: it still runs
        :raises ConnectionLostException: the connection over which it was started has ended
        """
        if not self.events.is_current:
            await Deadline(timeout).run(self.finished.wait(), f"Terminal {self.terminal_id}")
        if self._lost:
            raise type(self._lost)(str(self._lost))
        return self.output

    async def _call(self, method: str, *params: Any, deadline: Deadline) -> None:
        try:
            await self._rpc.call(method, *params, deadline=deadline)
        except RpcException as error:
            raise TerminalException(error.message) from error

    def on_chunk(self, event: Any) -> None:
        self.events.put(str(event))

    def on_end(self, _: Any) -> None:
        self.events.put(None)

    def on_lost(self, reason: SandboxException) -> None:
        self.events.put(reason)

    async def _handle(self, event: str | SandboxException | None) -> bool:
        if isinstance(event, str):
            if self._keep_output:
                self.output.add(event)
            await call_back(self._on_data, event)
            return False
        if isinstance(event, SandboxException):
            self._lost = event
        else:
            self._rpc.unsubscribe_soon(*self.subscriptions)
            await call_on_exit(self._on_exit, None)
        self.finished.set()
        return True


class TerminalManager:
    """Starts terminals."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(
        self,
        on_data: Callback,
        cols: int,
        rows: int,
        cwd: str = "",
        terminal_id: str | None = None,
        on_exit: Callback | None = None,
        cmd: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        *,
        keep_output: bool = True,
    ) -> Terminal:
        """
        Starts an interactive login shell, or `cmd` in one.

        :param on_data: called with what the terminal shows, as strings
        :param cwd: else that of the sandbox, else the user's home
        :param timeout: seconds until it must have started
        :param keep_output: False keeps nothing in memory; the callback gets it all
        :raises TerminalException: it could not be started
        """
        if cols < 1 or rows < 1:
            raise ValueError(f"A terminal of {cols} columns and {rows} rows cannot be")
        deadline = Deadline(timeout)
        where = cwd or self._connection.cwd
        directory = resolve_path(where, self._connection.cwd) if where else None
        env = merge_env(self._connection.env_vars, env_vars)
        id = terminal_id or secrets.token_hex(6)
        rpc = await self._connection.rpc(deadline)
        terminal = Terminal(rpc, id, on_data, on_exit, keep_output)
        handlers = {"onData": terminal.on_chunk, "onExit": terminal.on_end}
        try:
            terminal.subscriptions = await subscribe_all(rpc, "terminal", handlers, id, terminal.on_lost, deadline)
            await rpc.call("terminal_start", id, cols, rows, env, cmd, directory, deadline=deadline)
        except BaseException as error:
            rpc.unsubscribe_soon(*terminal.subscriptions)
            terminal.events.stop()
            if isinstance(error, RpcException):
                raise TerminalException(error.message) from error
            # It may run already, and nobody would know of it.
            rpc.call_soon("terminal_destroy", id)
            raise
        return terminal
