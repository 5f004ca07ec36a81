"""Calls the functions that users give, which may be plain or asynchronous."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger("sandbox_sdk")

Callback = Callable[..., Any]
"""A plain or an asynchronous function; what it answers is not used."""


async def call_back(callback: Callback | None, *args: Any) -> None:
    """Calls it and waits for it. What it raises is logged: it must not end the connection that it hangs on."""
    if callback is None:
        return
    try:
        answer = callback(*args)
        if inspect.isawaitable(answer):
            await answer
    except Exception:
        logger.exception("A callback of the sandbox failed")


async def call_on_exit(callback: Callback | None, exit_code: int | None) -> None:
    """Like `call_back`, and the function may leave the exit code out of its parameters."""
    if callback is not None:
        try:
            inspect.signature(callback).bind(exit_code)
        except TypeError:
            await call_back(callback)
            return
        except ValueError:
            pass  # Built-in functions have no signature.
    await call_back(callback, exit_code)


class OrderedEvents:
    """
    Hands events to one function, one after the other, in a task of its own, until it returns True.

    So a slow callback delays the later ones of the same process, and never the connection.
    """

    def __init__(self, handle: Callable[[Any], Awaitable[bool]]) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._handle = handle
        self._task = asyncio.create_task(self._run())

    @property
    def is_current(self) -> bool:
        """The function, or what it called, asks."""
        return asyncio.current_task() is self._task

    def put(self, event: Any) -> None:
        self._queue.put_nowait(event)

    def stop(self) -> None:
        """Drops what waits. From within the function it does nothing."""
        if not self.is_current:
            self._task.cancel()

    async def _run(self) -> None:
        while not await self._handle(await self._queue.get()):
            pass
