"""Tells which TCP ports of the sandbox are open."""

from __future__ import annotations

from typing import Any

from .callbacks import Callback, OrderedEvents, call_back
from .deadline import Deadline
from .exceptions import SandboxException
from .models import OpenPort
from .rpc import RpcConnection


async def watch_ports(rpc: RpcConnection, on_scan_ports: Callback, deadline: Deadline) -> None:
    """Calls the function with a list of `OpenPort` every few seconds, until the connection ends."""

    async def handle(rows: Any) -> bool:
        if isinstance(rows, SandboxException):
            return True
        await call_back(on_scan_ports, [port for row in rows or [] if (port := _read_port(row))])
        return False

    events = OrderedEvents(handle)
    try:
        await rpc.subscribe(
            "codeSnippet", "scanOpenedPorts", on_event=events.put, on_lost=events.put, deadline=deadline
        )
    except BaseException:
        events.stop()
        raise


def _read_port(row: Any) -> OpenPort | None:
    try:
        return OpenPort(ip=str(row["Ip"]), port=int(row["Port"]), state=str(row["State"]))
    except (TypeError, KeyError, ValueError):
        return None
