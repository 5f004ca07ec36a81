"""What the parts of one sandbox share: its address, its HTTP session and its JSON-RPC connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from .constants import ENVD_PORT, WS_ROUTE
from .deadline import Deadline
from .exceptions import SandboxNotOpenException
from .http import open_session
from .rpc import KEEPALIVE, RpcConnection, open_rpc
from .settings import Settings


class Connection:
    """
    The ways into one sandbox. Nothing is opened before it is needed.

    A JSON-RPC connection that was lost is replaced at the next use; what ran over the lost one has failed.
    """

    def __init__(self, settings: Settings, private_ip: str, keepalive: float | None = KEEPALIVE) -> None:
        self.settings = settings
        self.private_ip = private_ip
        self.cwd: str | None = None
        self.env_vars: dict[str, str] = {}
        self.prepare: Callable[[RpcConnection, Deadline], Awaitable[None]] | None = None
        """Runs once, over the first JSON-RPC connection, before anything else."""
        self._keepalive = keepalive
        self._session: aiohttp.ClientSession | None = None
        self._rpc: RpcConnection | None = None
        self._opening = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def has_rpc(self) -> bool:
        return self._rpc is not None and self._rpc.is_open

    def address(self, port: int) -> str:
        """Where a port of the sandbox is reached, without a scheme."""
        return f"{self.settings.host}:{self.settings.proxy_port}/{self.private_ip}/{port}"

    def url(self, port: int, route: str, scheme: str = "http") -> str:
        return f"{scheme}{'s' if self.settings.secure else ''}://{self.address(port)}{route}"

    def session(self) -> aiohttp.ClientSession:
        """:raises SandboxNotOpenException: it was closed"""
        self._check_open()
        if self._session is None:
            self._session = open_session()
            self._keeper = asyncio.create_task(self._keep())
        return self._session

    async def rpc(self, deadline: Deadline) -> RpcConnection:
        """
        The open JSON-RPC connection, opened if need be.

        :raises SandboxNotOpenException: it was closed
        :raises TimeoutException: the sandbox cannot be reached
        """
        self._check_open()
        if self._rpc is not None and self._rpc.is_open:
            return self._rpc
        return await deadline.run(self._open_rpc(deadline), "Connecting to the sandbox")

    async def close(self) -> None:
        """Frees everything. What still runs over it fails."""
        self._closed = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper is not asyncio.current_task():
            keeper.cancel()
        rpc, self._rpc = self._rpc, None
        session, self._session = self._session, None
        try:
            if rpc is not None:
                await rpc.close()
        finally:
            if session is not None:
                await session.close()

    async def _keep(self) -> None:
        """Closes at the end of the event loop what the program has left open: the loop cancels every task then."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

    async def _open_rpc(self, deadline: Deadline) -> RpcConnection:
        async with self._opening:
            if self._rpc is not None and self._rpc.is_open:
                return self._rpc
            rpc = await open_rpc(self.session(), self.url(ENVD_PORT, WS_ROUTE, "ws"), deadline, self._keepalive)
            try:
                # It may have been closed meanwhile.
                self._check_open()
                if self.prepare is not None:
                    await self.prepare(rpc, deadline)
                    self.prepare = None
            except BaseException:
                await rpc.close()
                raise
            self._rpc = rpc
            return rpc

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxNotOpenException("The sandbox object was closed")
