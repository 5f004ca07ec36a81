"""Files of the sandbox over JSON-RPC. Large ones go by `upload_file` and `stream_file`, which hold little in memory."""

from __future__ import annotations

import base64
import binascii
import builtins
from dataclasses import dataclass
from typing import Any

from .connection import Connection
from .constants import TIMEOUT
from .deadline import Deadline
from .exceptions import FilesystemException, RpcException
from .paths import resolve_path
from .watch import FilesystemWatcher


@dataclass(frozen=True)
class FileInfo:
    """An entry of a directory."""

    is_dir: bool
    name: str


class FilesystemManager:
    """
    Reads and writes as root. A relative path starts at the sandbox's `cwd`, or at the user's home.

    Every method raises `FilesystemException` when the sandbox refuses, with its words.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, path: str, timeout: float | None = TIMEOUT) -> str:
        """The file as text. Bytes that are no UTF-8 are replaced; `read_bytes` has them as they are."""
        text = await self._call("read", path, timeout=timeout)
        if not isinstance(text, str):
            raise FilesystemException(f"The sandbox answered {text!r} for the text of a file")
        return text

    async def write(self, path: str, content: str, timeout: float | None = TIMEOUT) -> None:
        """Makes the file, or replaces what it has."""
        try:
            content.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"The content is no text that UTF-8 can have: {error}") from error
        await self._call("write", path, content, timeout=timeout)

    async def read_bytes(self, path: str, timeout: float | None = TIMEOUT) -> bytes:
        encoded = await self._call("readBase64", path, timeout=timeout)
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise FilesystemException("The sandbox answered with what is no base64") from error

    async def write_bytes(
        self, path: str, content: bytes | bytearray | memoryview, timeout: float | None = TIMEOUT
    ) -> None:
        await self._call("writeBase64", path, base64.b64encode(content).decode("ascii"), timeout=timeout)

    async def list(self, path: str, timeout: float | None = TIMEOUT) -> builtins.list[FileInfo]:
        """The entries of a directory, by name."""
        rows = await self._call("list", path, timeout=timeout)
        try:
            return [FileInfo(is_dir=bool(row["isDir"]), name=str(row["name"])) for row in rows or []]
        except (TypeError, KeyError) as error:
            raise FilesystemException(f"The sandbox answered {str(rows)[:200]} for a directory") from error

    async def make_dir(self, path: str, timeout: float | None = TIMEOUT) -> None:
        """With its parents; that it is there already is no error."""
        await self._call("makeDir", path, timeout=timeout)

    async def remove(self, path: str, timeout: float | None = TIMEOUT) -> None:
        """A directory with all that is in it; that it is gone already is no error."""
        await self._call("remove", path, timeout=timeout)

    def watch_dir(self, path: str) -> FilesystemWatcher:
        """What will tell of changes in a directory, once it is started. What is below it is not watched."""
        return FilesystemWatcher(self._connection, resolve_path(path, self._connection.cwd))

    async def _call(self, method: str, path: str, *params: Any, timeout: float | None) -> Any:
        deadline = Deadline(timeout)
        resolved = resolve_path(path, self._connection.cwd)
        rpc = await self._connection.rpc(deadline)
        try:
            return await rpc.call(f"filesystem_{method}", resolved, *params, deadline=deadline)
        except RpcException as error:
            raise FilesystemException(error.message) from error
