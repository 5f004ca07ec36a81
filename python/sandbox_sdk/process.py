"""Processes over JSON-RPC: with output as it comes, input, and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .callbacks import Callback, OrderedEvents, call_back, call_on_exit
from .connection import Connection
from .constants import TIMEOUT
from .deadline import Deadline
from .env import merge_env
from .exceptions import (
    CurrentWorkingDirectoryDoesntExistException,
    ProcessException,
    RpcException,
    SandboxException,
)
from .models import ProcessMessage
from .paths import resolve_path
from .process_output import ProcessOutput
from .rpc import RpcConnection, Subscription
from .subscribe import subscribe_all

_KILL_SECONDS = 5.0
_NO_CWD = re.compile(r"error starting process '\w+': fork/exec /bin/bash: no such file or directory")


class Process:
    """A process in the sandbox. It goes on when nobody waits for it any more."""

    def __init__(
        self,
        rpc: RpcConnection,
        process_id: str,
        on_stdout: Callback | None,
        on_stderr: Callback | None,
        on_exit: Callback | None,
        keep_output: bool,
    ) -> None:
        self.process_id = process_id
        self.output = ProcessOutput()
        self.finished = asyncio.Event()
        """Set when it has ended, or when it cannot be heard of any more."""
        self.subscriptions: list[Subscription] = []
        self._rpc = rpc
        self._on_stdout = on_stdout
        self._on_stderr = on_stderr
        self._on_exit = on_exit
        self._keep_output = keep_output
        self._lost: SandboxException | None = None
        self.events = OrderedEvents(self._handle)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -1 when a signal ended it."""
        return self.output.exit_code

    @property
    def stdout(self) -> str:
        return self.output.stdout

    @property
    def stderr(self) -> str:
        return self.output.stderr

    @property
    def error(self) -> bool:
        """It has written to stderr."""
        return self.output.error

    @property
    def output_messages(self) -> list[ProcessMessage]:
        return self.output.messages

    async def wait(self, timeout: float | None = None) -> ProcessOutput:
        """
        Waits until it has ended and every callback of its output has run.

        :param timeout: seconds; None waits as long as it takes
        :raises TimeoutException: it still runs
        :raises ConnectionLostException: the connection over which it was started has ended
        """
        if not (self.events.is_current and self.exit_code is not None):
            await Deadline(timeout).run(self.finished.wait(), f"Process {self.process_id}")
        if self._lost:
            raise type(self._lost)(str(self._lost))
        return self.output

    async def send_stdin(self, data: str | bytes, timeout: float | None = TIMEOUT) -> None:
        """
        Writes to its standard input. Bytes must be UTF-8, which is all that the protocol carries.

        :raises ProcessException: it has ended
        """
        text = data.decode() if isinstance(data, bytes) else data
        await self._call("process_stdin", self.process_id, text, deadline=Deadline(timeout))

    async def kill(self, timeout: float | None = TIMEOUT) -> None:
        """
        Ends it with SIGKILL and waits a moment for its exit code, which is -1.

        What it had started may keep its output open for longer; then the exit code comes when it comes.
        """
        deadline = Deadline(timeout)
        await self._call("process_kill", self.process_id, deadline=deadline)
        if not self.events.is_current:
            left = deadline.left()
            seconds = _KILL_SECONDS if left is None else min(left, _KILL_SECONDS)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.finished.wait(), seconds)

    async def _call(self, method: str, *params: Any, deadline: Deadline) -> None:
        try:
            await self._rpc.call(method, *params, deadline=deadline)
        except RpcException as error:
            raise ProcessException(error.message) from error

    def on_output(self, event: Any) -> None:
        self.events.put(_read_message(event))

    def on_exit_code(self, event: Any) -> None:
        self.events.put(event if isinstance(event, int) else -1)

    def on_lost(self, reason: SandboxException) -> None:
        self.events.put(reason)

    async def _handle(self, event: ProcessMessage | int | SandboxException) -> bool:
        if isinstance(event, ProcessMessage):
            if self._keep_output:
                self.output.add(event)
            else:
                self.output.error = self.output.error or event.error
            await call_back(self._on_stderr if event.error else self._on_stdout, event)
            return False
        if isinstance(event, SandboxException):
            self._lost = event
        else:
            self.output.exit_code = event
            self._rpc.unsubscribe_soon(*self.subscriptions)
            await call_on_exit(self._on_exit, event)
        self.finished.set()
        return True


class ProcessManager:
    """Starts processes. `on_stdout` and the like that the sandbox was made with are for those that have none."""

    def __init__(
        self,
        connection: Connection,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_exit: Callback | None = None,
    ) -> None:
        self._connection = connection
        self._on_stdout = on_stdout
        self._on_stderr = on_stderr
        self._on_exit = on_exit

    async def start(
        self,
        cmd: str | Sequence[str],
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_exit: Callback | None = None,
        env_vars: Mapping[str, str] | None = None,
        cwd: str = "",
        rootdir: str = "",
        process_id: str | None = None,
        timeout: float | None = TIMEOUT,
        *,
        keep_output: bool = True,
    ) -> Process:
        """
        Starts a command in the user's login shell and returns as soon as it runs.

        :param cmd: what the shell reads; or a list of arguments, which the shell takes as they are
        :param on_stdout: called with each `ProcessMessage`, in order
        :param on_exit: called with the exit code, or with nothing if it takes nothing
        :param cwd: else that of the sandbox, else the user's home
        :param rootdir: an older name of `cwd`
        :param timeout: seconds until it must have started
        :param keep_output: False keeps nothing in memory; the callbacks get it all
        :raises CurrentWorkingDirectoryDoesntExistException: `cwd` is not there
        :raises ProcessException: it could not be started
        """
        deadline = Deadline(timeout)
        command = _read_command(cmd)
        env = merge_env({"PYTHONUNBUFFERED": "1"}, self._connection.env_vars, env_vars)
        where = cwd or rootdir or self._connection.cwd
        directory = resolve_path(where, self._connection.cwd) if where else ""
        id = process_id or secrets.token_hex(6)
        rpc = await self._connection.rpc(deadline)
        process = Process(
            rpc,
            id,
            on_stdout or self._on_stdout,
            on_stderr or self._on_stderr,
            on_exit or self._on_exit,
            keep_output,
        )
        handlers = {
            "onExit": process.on_exit_code,
            "onStdout": process.on_output,
            "onStderr": process.on_output,
        }
        try:
            process.subscriptions = await subscribe_all(rpc, "process", handlers, id, process.on_lost, deadline)
            await rpc.call("process_start", id, command, env, directory, deadline=deadline)
        except RpcException as error:
            self._drop(process)
            if _NO_CWD.match(error.message):
                raise CurrentWorkingDirectoryDoesntExistException(
                    f"The directory {directory or '~'} does not exist; make it with filesystem.make_dir"
                ) from error
            raise ProcessException(error.message) from error
        except BaseException:
            self._drop(process)
            # It may run already, and nobody would know of it.
            rpc.call_soon("process_kill", id)
            raise
        return process

    async def start_and_wait(
        self,
        cmd: str | Sequence[str],
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_exit: Callback | None = None,
        env_vars: Mapping[str, str] | None = None,
        cwd: str = "",
        rootdir: str = "",
        process_id: str | None = None,
        timeout: float | None = TIMEOUT,
        *,
        wait_timeout: float | None = None,
    ) -> ProcessOutput:
        """
        `start`, and waits until the process has ended. When the waiting ends earlier, the process is killed.

        :param timeout: seconds until it must have started
        :param wait_timeout: seconds that it may run
        """
        process = await self.start(cmd, on_stdout, on_stderr, on_exit, env_vars, cwd, rootdir, process_id, timeout)
        try:
            return await process.wait(wait_timeout)
        except BaseException:
            process._rpc.call_soon("process_kill", process.process_id)
            raise

    def _drop(self, process: Process) -> None:
        process._rpc.unsubscribe_soon(*process.subscriptions)
        process.events.stop()


def _read_command(cmd: str | Sequence[str]) -> str:
    command = cmd if isinstance(cmd, str) else shlex.join(cmd)
    if not command.strip():
        raise ValueError("The command is empty")
    if "\0" in command:
        raise ValueError("The command has a NUL, which no program can be given")
    return command


def _read_message(event: Any) -> ProcessMessage:
    fields = event if isinstance(event, dict) else {}
    timestamp = fields.get("timestamp")
    return ProcessMessage(
        line=str(fields.get("line", "")),
        timestamp=timestamp if isinstance(timestamp, int) else 0,
        error=fields.get("type") == "Stderr",
    )
