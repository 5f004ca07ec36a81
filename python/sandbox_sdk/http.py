"""HTTP requests to a sandbox, which is not trusted: no redirects, no cookies, and bodies with a limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .constants import MAX_MESSAGE_BYTES
from .deadline import Deadline
from .exceptions import ConnectionLostException, TimeoutException

_MAX_ERROR_BYTES = 4096


def open_session() -> aiohttp.ClientSession:
    """A session without cookies and without a limit of time of its own. The caller closes it."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        connector=aiohttp.TCPConnector(limit=0),
    )


@asynccontextmanager
async def request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    what: str,
    deadline: Deadline,
    failure: type[Exception],
    ok: tuple[int, ...] = (200,),
    **options: Any,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """
    Opens a response whose status is one of `ok`; the caller reads the body within the block.

    :raises TimeoutException: the deadline passed, in the block, too
    :raises ConnectionLostException: the sandbox cannot be reached, or went away
    :param failure: what is raised for any other status, with the sandbox's words
    """
    timeout = aiohttp.ClientTimeout(total=deadline.left(), sock_connect=30)
    if deadline.passed:
        raise TimeoutException(f"{what} did not finish in time")
    try:
        async with session.request(method, url, timeout=timeout, allow_redirects=False, **options) as response:
            if response.status not in ok:
                body = await response.content.read(_MAX_ERROR_BYTES)
                text = body.decode("utf-8", "replace").strip()
                raise failure(f"{what} failed: {response.status} {response.reason} {text}".rstrip())
            yield response
    except asyncio.TimeoutError as error:
        if isinstance(error, TimeoutException):
            raise
        raise TimeoutException(f"{what} did not finish in time") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise ConnectionLostException(f"{what} failed: {error or type(error).__name__}") from error


async def request_json(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    what: str,
    deadline: Deadline,
    failure: type[Exception],
    **options: Any,
) -> Any:
    """The body as JSON. Errors as of `request`, and `failure` when it is none."""
    async with request(session, method, url, what, deadline, failure, **options) as response:
        body = await read_body(response, what, failure)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise failure(f"{what} failed: the sandbox sent what is no JSON: {body[:200]!r}") from error


async def read_body(
    response: aiohttp.ClientResponse, what: str, failure: type[Exception], limit: int = MAX_MESSAGE_BYTES
) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise failure(f"{what} failed: the sandbox sent more than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
