"""Processes over plain HTTP: no connection is held while they run, and their output comes at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .connection import Connection
from .constants import ENVD_PORT, SIMPLE_PROCESS_ROUTE, TIMEOUT
from .deadline import Deadline
from .env import merge_env
from .exceptions import ProcessException
from .http import request, request_json
from .paths import resolve_path


@dataclass(frozen=True)
class SimpleProcessResult:
    """What a process left. `exit_code` is -1 when a signal ended it."""

    stdout: str
    stderr: str
    exit_code: int


class SimpleProcess:
    """A process that was started by a `SimpleProcessManager`."""

    def __init__(self, connection: Connection, pid: int) -> None:
        self.pid = pid
        self._connection = connection
        self._waiting: asyncio.Task[SimpleProcessResult] | None = None

    async def wait(self, timeout: float | None = None) -> SimpleProcessResult:
        """
        Waits until it has ended.

        The sandbox tells the result once. So one request is kept for all who wait, also when one of them gives up.

        :raises TimeoutException: it still runs; wait again
        :raises ProcessException: the sandbox does not know it
        """
        deadline = Deadline(timeout)
        if self._waiting is None or _has_failed(self._waiting):
            self._waiting = asyncio.create_task(self._fetch())
            self._waiting.add_done_callback(_has_failed)
        return await deadline.run(asyncio.shield(self._waiting), f"Process {self.pid}")

    async def kill(self, timeout: float | None = TIMEOUT) -> None:
        """Ends it with SIGKILL. :raises ProcessException: the sandbox does not know it"""
        url = _url(self._connection, "kill")
        async with request(
            self._connection.session(),
            "POST",
            url,
            "kill process",
            Deadline(timeout),
            ProcessException,
            json={"pid": self.pid},
        ):
            pass

    async def _fetch(self) -> SimpleProcessResult:
        answer = await _post(self._connection, "wait", {"pid": self.pid}, "wait for process", Deadline(None))
        try:
            return SimpleProcessResult(str(answer["stdout"]), str(answer["stderr"]), int(answer["exit_code"]))
        except (TypeError, KeyError, ValueError) as error:
            raise ProcessException(f"The sandbox answered {str(answer)[:200]} for the end of a process") from error


class SimpleProcessManager:
    """Starts processes over HTTP."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start(
        self,
        cmd: str,
        *,
        env_vars: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        timeout: float | None = TIMEOUT,
    ) -> SimpleProcess:
        """
        Starts a command in a login shell.

        :param user: else `user`
        :raises ProcessException: it could not be started
        """
        if not cmd.strip() or "\0" in cmd:
            raise ValueError("The command is empty or has a NUL")
        body: dict[str, Any] = {"cmd": cmd, "envs": merge_env(self._connection.env_vars, env_vars)}
        where = cwd or self._connection.cwd
        if where:
            body["cwd"] = resolve_path(where, self._connection.cwd)
        if user:
            body["user"] = user
        answer = await _post(self._connection, "create", body, "start process", Deadline(timeout))
        try:
            return SimpleProcess(self._connection, int(answer["pid"]))
        except (TypeError, KeyError, ValueError) as error:
            raise ProcessException(f"The sandbox answered {str(answer)[:200]} for a new process") from error

    async def close(self) -> None:
        """Nothing is to be done: the connections are the sandbox's. It is here for programs that call it."""


async def _post(connection: Connection, verb: str, body: dict[str, Any], what: str, deadline: Deadline) -> Any:
    return await request_json(
        connection.session(), "POST", _url(connection, verb), what, deadline, ProcessException, json=body
    )


def _url(connection: Connection, verb: str) -> str:
    return connection.url(ENVD_PORT, f"{SIMPLE_PROCESS_ROUTE}/{verb}")


def _has_failed(task: asyncio.Task[SimpleProcessResult]) -> bool:
    # It also marks the failure as seen: it may be that nobody waits any more.
    return task.done() and (task.cancelled() or task.exception() is not None)
