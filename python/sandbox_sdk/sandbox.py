"""A sandbox: made, joined, used and ended."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import IO, ClassVar, TypeVar

from . import files
from .actions import Actions
from .callbacks import Callback
from .connection import Connection
from .constants import DEFAULT_TEMPLATE, ENVD_PORT, FILE_ROUTE, TIMEOUT
from .control import Control
from .deadline import Deadline
from .env import merge_env
from .exceptions import (
    ControlException,
    ControlTimeoutException,
    NotFoundException,
    SandboxException,
    SandboxNotOpenException,
)
from .filesystem import FilesystemManager
from .models import Deactivation, EnvVars, RunningSandbox, Snapshot
from .paths import resolve_path
from .ports import watch_ports
from .process import ProcessManager
from .rpc import KEEPALIVE, RpcConnection
from .settings import Settings, read_settings
from .simple_process import SimpleProcessManager
from .terminal import TerminalManager
from .wire import sandbox_pb2 as pb

S = TypeVar("S", bound="Sandbox")

_CLEAN_UP_SECONDS = 15.0

# What the template's own service has written, where the image has systemd's journal or the backend's log file.
_START_LOG = (
    "if [ -r /var/log/start_cmd.log ]; then exec tail -n +1 -F /var/log/start_cmd.log 2>/dev/null; fi; "
    "if command -v journalctl >/dev/null && command -v sudo >/dev/null; then "
    "exec sudo -n journalctl --follow --lines=all -o cat _SYSTEMD_UNIT=start_cmd.service 2>/dev/null; fi"
)


class Sandbox(Actions):
    """
    A virtual machine of your own. Make one with `create`, or join one with `connect`.

    As an asynchronous context manager it is closed at the end. Closing ends the connections, and the machine
    too if `kill_on_close` says so; a machine that goes on can be joined again by its `id`.
    """

    default_template: ClassVar[str] = DEFAULT_TEMPLATE

    def __init__(
        self,
        settings: Settings,
        info: RunningSandbox,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_exit: Callback | None = None,
        kill_on_close: bool = False,
        keepalive: float | None = KEEPALIVE,
    ) -> None:
        """For `create` and `connect`."""
        super().__init__()
        self._settings = settings
        self._info = info
        self._connection = Connection(settings, info.private_ip, keepalive)
        self.kill_on_close = kill_on_close
        self.process = ProcessManager(self._connection, on_stdout, on_stderr, on_exit)
        self.terminal = TerminalManager(self._connection)
        self.filesystem = FilesystemManager(self._connection)
        self.simple_process = SimpleProcessManager(self._connection)

    @classmethod
    async def create(
        cls: type[S],
        template: str | None = None,
        cwd: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        on_scan_ports: Callback | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_exit: Callback | None = None,
        metadata: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        target_addr: str | None = None,
        connect_rpc: bool = True,
        enable_diff_snapshot: bool = False,
        *,
        from_snapshot: str | Snapshot | None = None,
        max_hours: int = 3,
        api_key: str | None = None,
        control_port: int | None = None,
        proxy_port: int | None = None,
        kill_on_close: bool = False,
        keepalive: float | None = KEEPALIVE,
    ) -> S:
        """
        Starts a sandbox and connects to it.

        :param template: what to start it from, `default-sandbox` if nothing is said
        :param from_snapshot: a snapshot instead of a template
        :param cwd: directory for relative paths and processes; it is made if it is not there
        :param env_vars: for everything that is started in it
        :param on_scan_ports: called every few seconds with the list of its `OpenPort`
        :param on_stdout: for processes without one of their own, and for what the template's service writes
        :param metadata: comes back in `list`
        :param timeout: seconds until it must be ready; a sandbox that is not ready by then is ended
        :param target_addr: host of the backend, else `SANDBOX_BACKEND_ADDR`, else this machine
        :param connect_rpc: False connects at the first use only
        :param max_hours: the backend ends it after so many hours
        :param api_key: else `SANDBOX_API_KEY`
        :param kill_on_close: `close`, and the end of `async with`, end the machine, too
        :param keepalive: seconds of silence after which the peer is asked whether it is there; None never asks
        :raises ControlException: the backend refused or cannot be reached
        :raises TimeoutException: it was not ready in time
        """
        if template is not None and from_snapshot is not None:
            raise ValueError("Give a template or a snapshot, not both")
        if isinstance(from_snapshot, Snapshot):
            from_snapshot = from_snapshot.name
        settings = read_settings(target_addr, api_key, control_port, proxy_port)
        deadline = Deadline(timeout)
        request = pb.SandboxCreateRequest(
            templateID=template or from_snapshot or cls.default_template,
            maxInstanceLength=max_hours,
            sandboxID=str(uuid.uuid4()),
            enableDiffSnapshots=enable_diff_snapshot,
            metadata=merge_env(metadata),
        )
        env = merge_env(env_vars)
        directory = resolve_path(cwd) if cwd else None
        async with Control(settings) as control:
            try:
                info = RunningSandbox.from_message(await control.create(request, deadline))
                if not info.private_ip:
                    raise SandboxException("The backend did not say how the sandbox is reached")
                sandbox = cls(settings, info, on_stdout, on_stderr, on_exit, kill_on_close, keepalive)
                await sandbox._open(deadline, directory, env, on_scan_ports, connect_rpc)
                if connect_rpc and (on_stdout or on_stderr):
                    await sandbox._follow_start_log(on_stdout, on_stderr, deadline)
                return sandbox
            except BaseException as error:
                await _clean_up(control, request.sandboxID, error)
                raise

    @classmethod
    async def connect(
        cls: type[S],
        sandbox_id: str,
        cwd: str | None = None,
        env_vars: Mapping[str, str] | None = None,
        on_scan_ports: Callback | None = None,
        on_stdout: Callback | None = None,
        on_stderr: Callback | None = None,
        on_exit: Callback | None = None,
        timeout: float | None = TIMEOUT,
        target_addr: str | None = None,
        connect_rpc: bool = True,
        *,
        api_key: str | None = None,
        control_port: int | None = None,
        proxy_port: int | None = None,
        kill_on_close: bool = False,
        keepalive: float | None = KEEPALIVE,
    ) -> S:
        """
        Joins a sandbox that runs already. The parameters are those of `create`.

        :raises NotFoundException: there is none with this id
        :raises SandboxException: it does not run
        """
        settings = read_settings(target_addr, api_key, control_port, proxy_port)
        deadline = Deadline(timeout)
        env = merge_env(env_vars)
        directory = resolve_path(cwd) if cwd else None
        async with Control(settings) as control:
            message = await control.search(sandbox_id, deadline)
        if message is None:
            raise NotFoundException(f"There is no sandbox {sandbox_id}")
        info = RunningSandbox.from_message(message)
        if info.state != "running" or not info.private_ip:
            raise SandboxException(f"The sandbox {sandbox_id} cannot be joined, its state is {info.state}")
        sandbox = cls(settings, info, on_stdout, on_stderr, on_exit, kill_on_close, keepalive)
        await sandbox._open(deadline, directory, env, on_scan_ports, connect_rpc)
        return sandbox

    @staticmethod
    async def list(
        target_addr: str | None = None,
        *,
        api_key: str | None = None,
        control_port: int | None = None,
        timeout: float | None = TIMEOUT,
    ) -> builtins.list[RunningSandbox]:
        """Every sandbox that the backend has for this key."""
        async with Control(read_settings(target_addr, api_key, control_port)) as control:
            return [RunningSandbox.from_message(one) for one in await control.list(Deadline(timeout))]

    @staticmethod
    async def kill(
        sandbox_id: str,
        target_addr: str | None = None,
        *,
        api_key: str | None = None,
        control_port: int | None = None,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """Ends a sandbox. :raises NotFoundException: there is none with this id"""
        async with Control(read_settings(target_addr, api_key, control_port)) as control:
            await control.delete(sandbox_id, Deadline(timeout))

    @property
    def id(self) -> str:
        return self._info.sandbox_id

    @property
    def template_id(self) -> str:
        return self._info.template_id

    @property
    def info(self) -> RunningSandbox:
        """What the backend said of it when it was made or joined."""
        return self._info

    @property
    def is_open(self) -> bool:
        """It was not closed. A lost connection is opened again when it is needed."""
        return not self._connection.is_closed

    @property
    def cwd(self) -> str | None:
        return self._connection.cwd

    @cwd.setter
    def cwd(self, path: str | None) -> None:
        self._connection.cwd = resolve_path(path) if path else None

    @property
    def env_vars(self) -> EnvVars:
        return self._connection.env_vars

    def get_sbx_url(self, port: int) -> str:
        """Where a port of the sandbox is reached, without a scheme."""
        if not 0 < port < 65536:
            raise ValueError(f"{port} is no port")
        return self._connection.address(port)

    def get_protocol(self, base: str = "http", secure: bool | None = None) -> str:
        """`http` or `ws`, with an `s` if the backend is reached by TLS."""
        return base + ("s" if (self._settings.secure if secure is None else secure) else "")

    def file_url(self) -> str:
        """Where files are sent to and fetched from."""
        return self._connection.url(ENVD_PORT, FILE_ROUTE)

    async def upload_file(
        self,
        file: files.Source,
        timeout: float | None = TIMEOUT,
        *,
        path: str | None = None,
        user: str | None = None,
    ) -> str:
        """
        Sends a file, in pieces, and answers where it is.

        :param file: a path on this machine, or a file opened with `rb`
        :param path: where it shall be, else in the user's home under its own name
        :param timeout: seconds for the whole of it; None for a large file
        :raises FilesystemException: the sandbox refused it
        """
        return await files.upload_file(self._connection, file, path, user, timeout)

    async def download_file(self, path: str, timeout: float | None = TIMEOUT) -> bytes:
        """The whole file in memory. :raises FilesystemException: it is not there"""
        return await files.download_file(self._connection, path, timeout)

    def stream_file(self, path: str, timeout: float | None = None) -> AsyncIterator[bytes]:
        """The file in pieces, of which one is in memory at a time. Errors as of `download_file`."""
        return files.stream_file(self._connection, path, timeout)

    async def download_to(
        self, path: str, destination: str | os.PathLike[str] | IO[bytes], timeout: float | None = None
    ) -> int:
        """Writes the file to a path of this machine, or to an open file, in pieces. Answers its size."""
        return await files.download_to(self._connection, path, destination, timeout)

    async def deactive(self, timeout: float | None = TIMEOUT) -> Deactivation:
        """Gives the memory that the sandbox does not use back to the host, and tells how much. It goes on."""
        async with self._control() as control:
            answer = await control.deactive(self.id, Deadline(timeout))
        return Deactivation(answer.reclaimedBytes, answer.beforeBytes, answer.afterBytes)

    async def snapshot(
        self, delete: bool = False, timeout: float | None = TIMEOUT, *, name: str | None = None
    ) -> Snapshot:
        """
        Saves its memory and its disk, for `create` to start others from.

        :param delete: end the sandbox when it is saved; this object is closed then
        :param name: of the snapshot; one that is there already under it is replaced
        """
        async with self._control() as control:
            answer = await control.snapshot(self.id, delete, name, Deadline(timeout))
        if delete:
            await self._disconnect()
        return Snapshot(answer.path, answer.name or answer.path.rstrip("/").rsplit("/", 1)[-1])

    async def close(self, kill: bool | None = None) -> None:
        """
        Ends the connections. Safe to call again.

        :param kill: end the machine, too; if nothing is said, `kill_on_close` decides
        """
        was_open = self.is_open
        await self._disconnect()
        if kill is None:
            kill = self.kill_on_close and was_open
        if kill:
            async with Control(self._settings) as control:
                # It may have ended by itself.
                with contextlib.suppress(NotFoundException):
                    await control.delete(self.id, Deadline(TIMEOUT))

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(
        self,
        deadline: Deadline,
        cwd: str | None,
        env_vars: EnvVars,
        on_scan_ports: Callback | None,
        connect_rpc: bool,
    ) -> None:
        async def prepare(rpc: RpcConnection, deadline: Deadline) -> None:
            if cwd:
                await rpc.call("filesystem_makeDir", cwd, deadline=deadline)
            if on_scan_ports:
                await watch_ports(rpc, on_scan_ports, deadline)

        self._connection.cwd = cwd
        self._connection.env_vars = env_vars
        self._connection.prepare = prepare
        if connect_rpc:
            try:
                await self._connection.rpc(deadline)
            except BaseException:
                await self._disconnect()
                raise

    async def _follow_start_log(
        self, on_stdout: Callback | None, on_stderr: Callback | None, deadline: Deadline
    ) -> None:
        follower = ProcessManager(self._connection, on_stdout, on_stderr)
        await follower.start(_START_LOG, cwd="/", timeout=deadline.left(), keep_output=False)

    async def _disconnect(self) -> None:
        await self._connection.close()

    def _control(self) -> Control:
        if not self.is_open:
            raise SandboxNotOpenException("The sandbox object was closed")
        return Control(self._settings)


async def _clean_up(control: Control, sandbox_id: str, error: BaseException) -> None:
    """Ends the machine that nobody will get: it was made, or may have been when the answer did not come."""
    if isinstance(error, ControlException) and not isinstance(error, ControlTimeoutException):
        return  # The backend refused.
    with contextlib.suppress(SandboxException):
        await asyncio.shield(asyncio.ensure_future(control.delete(sandbox_id, Deadline(_CLEAN_UP_SECONDS))))
