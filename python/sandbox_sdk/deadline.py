"""One limit of time over several steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from .exceptions import TimeoutException

T = TypeVar("T")


class Deadline:
    """A moment in the future, or never. `timeout` in seconds; None is never."""

    def __init__(self, timeout: float | None) -> None:
        if timeout is not None and not timeout > 0:
            raise ValueError(f"A timeout must be more than 0 seconds, not {timeout}")
        self._at = None if timeout is None else time.monotonic() + timeout

    def left(self) -> float | None:
        """Seconds until then, 0 when it has passed, None when there is no limit."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left() == 0.0

    async def run(self, work: Awaitable[T], what: str) -> T:
        """
        Waits for `work`, and cancels it when the time is over.

        :raises TimeoutException: the time is over; `what` says of what
        """
        try:
            return await asyncio.wait_for(work, self.left())
        except asyncio.TimeoutError as error:
            if isinstance(error, TimeoutException):
                raise
            raise TimeoutException(f"{what} did not finish in time") from None
