"""Whole files over HTTP, in pieces."""

from __future__ import annotations

import asyncio
import io
import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Any

import aiohttp

from .connection import Connection
from .constants import ENVD_PORT, FILE_ROUTE, HOME
from .deadline import Deadline
from .exceptions import FilesystemException
from .http import read_body, request
from .paths import resolve_path

_PIECE = 256 * 1024
# A body that was packed would be unpacked with another size than was announced.
_AS_IT_IS = {"Accept-Encoding": "identity"}

Source = str | os.PathLike[str] | IO[bytes]


async def upload_file(
    connection: Connection, file: Source, path: str | None, user: str | None, timeout: float | None
) -> str:
    """Sends a file in pieces, and answers where it is in the sandbox."""
    source: IO[bytes]
    async with AsyncExitStack() as stack:
        if isinstance(file, (str, os.PathLike)):
            source, name = await asyncio.to_thread(Path(file).open, "rb"), os.fspath(file)
            stack.callback(source.close)
        else:
            source, name = _binary(file), str(getattr(file, "name", ""))
        target = (
            resolve_path(path, connection.cwd) if path else posixpath.join(HOME, _check_name(os.path.basename(name)))
        )
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("file", source, filename=posixpath.basename(target), content_type="application/octet-stream")
        params = {"path": target, **({"user": user} if user else {})}
        url = connection.url(ENVD_PORT, FILE_ROUTE)
        deadline = Deadline(timeout)
        async with request(
            connection.session(),
            "POST",
            url,
            f"Upload of {target}",
            deadline,
            FilesystemException,
            params=params,
            data=form,
        ):
            return target


async def download_file(connection: Connection, path: str, timeout: float | None) -> bytes:
    """The whole file. `stream_file` is for those that are too large for that."""
    resolved = resolve_path(path, connection.cwd)
    what = f"Download of {resolved}"
    async with request(connection.session(), "GET", **_download(connection, resolved, what, timeout)) as response:
        return await read_body(response, what, FilesystemException, limit=2**40)


async def stream_file(connection: Connection, path: str, timeout: float | None) -> AsyncIterator[bytes]:
    """The file in pieces of at most 256 KiB."""
    resolved = resolve_path(path, connection.cwd)
    what = f"Download of {resolved}"
    async with request(connection.session(), "GET", **_download(connection, resolved, what, timeout)) as response:
        async for piece in response.content.iter_chunked(_PIECE):
            yield piece


async def download_to(
    connection: Connection, path: str, destination: str | os.PathLike[str] | IO[bytes], timeout: float | None
) -> int:
    """Writes the file to `destination` and answers its size. A path gets the whole file or nothing."""
    if not isinstance(destination, (str, os.PathLike)):
        return await _copy(connection, path, destination, timeout)
    part = Path(f"{os.fspath(destination)}.part-{os.getpid()}-{os.urandom(4).hex()}")
    target = await asyncio.to_thread(part.open, "xb")
    try:
        with target:
            size = await _copy(connection, path, target, timeout)
        await asyncio.to_thread(part.replace, destination)
        return size
    except BaseException:
        os.unlink(part)
        raise


async def _copy(connection: Connection, path: str, target: IO[bytes], timeout: float | None) -> int:
    size = 0
    async for piece in stream_file(connection, path, timeout):
        await asyncio.to_thread(target.write, piece)
        size += len(piece)
    return size


def _download(connection: Connection, path: str, what: str, timeout: float | None) -> dict[str, Any]:
    return {
        "url": connection.url(ENVD_PORT, FILE_ROUTE),
        "what": what,
        "deadline": Deadline(timeout),
        "failure": FilesystemException,
        "params": {"path": path},
        "headers": _AS_IT_IS,
    }


def _binary(file: Any) -> IO[bytes]:
    binary: Any = file.buffer if isinstance(file, io.TextIOWrapper) else file
    if isinstance(file, io.StringIO) or not hasattr(binary, "read"):
        raise ValueError("upload_file takes a path or a file that was opened with 'rb'")
    return binary  # type: ignore[no-any-return]


def _check_name(name: str) -> str:
    if name in ("", ".", ".."):
        raise ValueError("The file has no name; say with `path` where it shall be in the sandbox")
    return name
