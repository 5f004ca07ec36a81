"""Tells of changes in a directory of the sandbox."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .callbacks import Callback, OrderedEvents, call_back
from .connection import Connection
from .constants import TIMEOUT
from .deadline import Deadline
from .exceptions import FilesystemException, RpcException, SandboxException
from .rpc import RpcConnection, Subscription

logger = logging.getLogger("sandbox_sdk")


class FilesystemOperation(str, enum.Enum):
    """What happened to a file."""

    CREATE = "Create"
    WRITE = "Write"
    REMOVE = "Remove"
    RENAME = "Rename"
    CHMOD = "Chmod"

    Create = CREATE
    Write = WRITE
    Remove = REMOVE
    Rename = RENAME
    Chmod = CHMOD


@dataclass(frozen=True)
class FilesystemEvent:
    """A change. `timestamp` in nanoseconds since 1970."""

    path: str
    name: str
    operation: FilesystemOperation
    timestamp: int
    is_dir: bool


class FilesystemWatcher:
    """Calls its listeners with each `FilesystemEvent`, in order, between `start` and `stop`."""

    def __init__(self, connection: Connection, path: str) -> None:
        self.path = path
        self._connection = connection
        self._listeners: list[Callback] = []
        self._rpc: RpcConnection | None = None
        self._subscription: Subscription | None = None
        self._events: OrderedEvents | None = None

    @property
    def is_watching(self) -> bool:
        """False before `start`, after `stop`, and when the connection has ended."""
        return self._subscription is not None

    def add_event_listener(self, listener: Callback) -> Callable[[], None]:
        """What it answers takes the listener away again."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    async def start(self, timeout: float | None = TIMEOUT) -> None:
        """
        Starts to watch; while it watches, it does nothing.

        :raises FilesystemException: the path is not there, or is no directory
        """
        if self._events is not None:
            return
        deadline = Deadline(timeout)
        events = self._events = OrderedEvents(self._handle)
        try:
            rpc = self._rpc = await self._connection.rpc(deadline)
            self._subscription = await rpc.subscribe(
                "filesystem", "watchDir", self.path, on_event=events.put, on_lost=self._on_lost, deadline=deadline
            )
        except BaseException as error:
            events.stop()
            self._events = None
            if isinstance(error, RpcException):
                raise FilesystemException(error.message) from error
            raise

    async def stop(self) -> None:
        """Listeners are not called any more once this has returned. Safe to call again."""
        if self._rpc is not None and self._subscription is not None:
            self._rpc.unsubscribe_soon(self._subscription)
        if self._events is not None:
            self._events.stop()
        self._subscription = None
        self._events = None

    def _on_lost(self, reason: SandboxException) -> None:
        if not self._connection.is_closed:
            logger.warning("%s is not watched any more: %s", self.path, reason)
        self._subscription = None
        if self._events is not None:
            self._events.stop()
            self._events = None

    async def _handle(self, event: Any) -> bool:
        try:
            change = FilesystemEvent(
                path=str(event["path"]),
                name=str(event["name"]),
                operation=FilesystemOperation(event["operation"]),
                timestamp=int(event["timestamp"]),
                is_dir=bool(event.get("isDir", False)),
            )
        except (TypeError, KeyError, ValueError, AttributeError):
            logger.warning("the sandbox told of a change that cannot be read: %.200s", event)
            return False
        for listener in [*self._listeners]:
            await call_back(listener, change)
        return False
