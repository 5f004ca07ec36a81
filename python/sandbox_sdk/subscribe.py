"""Several subscriptions at once: all of them, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from .deadline import Deadline
from .exceptions import MultipleExceptions, SandboxException
from .rpc import RpcConnection, Subscription


async def subscribe_all(
    rpc: RpcConnection,
    service: str,
    handlers: Mapping[str, Callable[[Any], None]],
    id: str,
    on_lost: Callable[[SandboxException], None],
    deadline: Deadline,
) -> list[Subscription]:
    """
    Subscribes to each name of `handlers` for one id.

    :raises MultipleExceptions: more than one failed; when only one did, that one is raised
    """
    tasks = [
        asyncio.create_task(rpc.subscribe(service, name, id, on_event=handler, on_lost=on_lost, deadline=deadline))
        for name, handler in handlers.items()
    ]
    try:
        await asyncio.wait(tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _end(rpc, tasks)
        raise
    failures = [error for task in tasks if (error := task.exception()) is not None]
    if not failures:
        return [task.result() for task in tasks]
    _end(rpc, tasks)
    if len(failures) == 1:
        raise failures[0]
    raise MultipleExceptions(f"Subscribing to the {service} failed", failures)


def _end(rpc: RpcConnection, tasks: list[asyncio.Task[Subscription]]) -> None:
    rpc.unsubscribe_soon(*(task.result() for task in tasks if not task.cancelled() and task.exception() is None))
