"""JSON-RPC 2.0 over a WebSocket, with subscriptions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from .constants import MAX_MESSAGE_BYTES
from .deadline import Deadline
from .exceptions import (
    ConnectionLostException,
    NotFoundException,
    RpcException,
    SandboxException,
    TimeoutException,
)

logger = logging.getLogger("sandbox_sdk")

KEEPALIVE = 40.0
"""Seconds of silence after which the peer is asked whether it is still there; it has half of that to answer."""

_RETRY_DELAYS = (0.1, 0.3, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Subscription:
    """`on_event` is called by the reader, so it must return at once; `on_lost` when the connection ended."""

    service: str
    id: str
    on_event: Callable[[Any], None]
    on_lost: Callable[[SandboxException], None]


@dataclass
class _Waiting:
    answer: asyncio.Future[Any]
    # Makes the subscription of its id, in the same step in which the answer is read: the next message may be its first.
    accept: Callable[[Any], Subscription] | None = None
    abandoned: bool = False


class RpcConnection:
    """One open connection. Made by `open_rpc`; when it is lost, everything that waits on it fails."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._next_id = 1
        self._waiting: dict[int, _Waiting] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._lost: SandboxException | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def is_open(self) -> bool:
        return self._lost is None

    async def call(self, method: str, *params: Any, deadline: Deadline) -> Any:
        """
        Calls a method and waits for its result.

        :raises RpcException: the sandbox answered with an error
        :raises TimeoutException: it did not answer in time
        :raises ConnectionLostException: the connection ended
        """
        return await self._request(method, params, None, deadline)

    async def subscribe(
        self,
        service: str,
        *params: Any,
        on_event: Callable[[Any], None],
        on_lost: Callable[[SandboxException], None],
        deadline: Deadline,
    ) -> Subscription:
        """Errors as of `call`. No event that comes after the answer is missed, however close it follows."""

        def accept(result: Any) -> Subscription:
            if not isinstance(result, str) or not result:
                raise SandboxException(f"The sandbox answered {result!r} for the id of a subscription")
            return Subscription(service, result, on_event, on_lost)

        made = await self._request(f"{service}_subscribe", params, accept, deadline)
        assert isinstance(made, Subscription)
        return made

    def unsubscribe_soon(self, *subscriptions: Subscription) -> None:
        """Nothing more is heard of them from the call on. The sandbox is told without waiting."""
        for one in subscriptions:
            self._subscriptions.pop(one.id, None)
            self.call_soon(f"{one.service}_unsubscribe", one.id)

    def call_soon(self, method: str, *params: Any) -> None:
        """Calls a method whose result is of no interest, without waiting."""
        if self._lost:
            return
        task = asyncio.create_task(self._call_quietly(method, params))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Ends the connection; whatever waits fails. Safe to call again."""
        self._lose(ConnectionLostException("The connection to the sandbox was closed"))
        for task in [*self._background, self._reader]:
            task.cancel()
        await asyncio.gather(*self._background, self._reader, return_exceptions=True)
        await self._socket.close()

    async def _request(
        self, method: str, params: tuple[Any, ...], accept: Callable[[Any], Subscription] | None, deadline: Deadline
    ) -> Any:
        if self._lost:
            raise ConnectionLostException(str(self._lost))
        id = self._next_id
        self._next_id += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": id}
        text = json.dumps(message)
        waiting = self._waiting[id] = _Waiting(asyncio.get_running_loop().create_future(), accept)
        try:
            return await deadline.run(self._send_and_wait(text, waiting.answer), method)
        except BaseException:
            self._abandon(id, waiting)
            raise

    def _abandon(self, id: int, waiting: _Waiting) -> None:
        """Nobody takes the answer. A subscription that was made, or is still being made, must be ended."""
        answer = waiting.answer
        if waiting.accept is None or self._lost:
            self._waiting.pop(id, None)
        elif not answer.done() or answer.cancelled():
            waiting.abandoned = True
        elif answer.exception() is None:
            self.unsubscribe_soon(answer.result())

    async def _send_and_wait(self, text: str, answer: asyncio.Future[Any]) -> Any:
        try:
            await self._socket.send_str(text)
        except (ConnectionError, aiohttp.ClientError) as error:
            lost = ConnectionLostException(f"The connection to the sandbox was lost: {error}")
            self._lose(lost)
            raise lost from error
        return await answer

    async def _call_quietly(self, method: str, params: tuple[Any, ...]) -> None:
        try:
            await self.call(method, *params, deadline=Deadline(10))
        except SandboxException as error:
            logger.debug("%s: %s", method, error)

    async def _read(self) -> None:
        reason: SandboxException
        try:
            while True:
                message = await self._socket.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data)
                elif message.type is aiohttp.WSMsgType.BINARY:
                    raise SandboxException("The sandbox sent a binary message, which JSON-RPC does not have")
                elif message.type is aiohttp.WSMsgType.ERROR:
                    raise ConnectionLostException(f"The connection to the sandbox was lost: {message.data}")
                else:
                    code = self._socket.close_code
                    raise ConnectionLostException(f"The connection to the sandbox was lost (close code {code})")
        except SandboxException as error:
            reason = error
        except asyncio.CancelledError:
            raise
        except Exception as error:
            reason = ConnectionLostException(f"The connection to the sandbox was lost: {error!r}")
        self._lose(reason)
        await self._socket.close()

    def _take(self, text: str) -> None:
        """:raises SandboxException: the message is none of the protocol; then the rest cannot be trusted either."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SandboxException(f"The sandbox sent a message that is no JSON: {text[:200]!r}") from error
        if not isinstance(message, dict):
            raise SandboxException(f"The sandbox sent a message that is no JSON-RPC: {text[:200]!r}")
        if "error" in message or "result" in message:
            self._take_answer(message)
        elif isinstance(message.get("params"), dict):
            params = message["params"]
            subscription = self._subscriptions.get(str(params.get("subscription")))
            if subscription:
                subscription.on_event(params.get("result"))
            else:
                logger.debug("an event of no subscription: %.200s", text)
        else:
            raise SandboxException(f"The sandbox sent a message that is no JSON-RPC: {text[:200]!r}")

    def _take_answer(self, message: dict[str, Any]) -> None:
        id = message.get("id")
        waiting = self._waiting.pop(id, None) if isinstance(id, int) else None
        if waiting is None:
            # Late, or the sandbox could not read an id; a call that waits for it ends with its timeout.
            logger.debug("an answer that nobody waits for: %.200s", message)
            return
        if "error" in message:
            _settle(waiting.answer, _read_error(message["error"], id))
        elif waiting.accept is None:
            _settle(waiting.answer, message["result"])
        else:
            try:
                subscription = waiting.accept(message["result"])
            except SandboxException as error:
                _settle(waiting.answer, error)
                return
            if waiting.abandoned:
                self.unsubscribe_soon(subscription)
            else:
                self._subscriptions[subscription.id] = subscription
                _settle(waiting.answer, subscription)

    def _lose(self, reason: SandboxException) -> None:
        if self._lost:
            return
        self._lost = reason
        waiting, self._waiting = self._waiting, {}
        subscriptions, self._subscriptions = self._subscriptions, {}
        for one in waiting.values():
            _settle(one.answer, reason)
        for subscription in subscriptions.values():
            subscription.on_lost(reason)


async def open_rpc(
    session: aiohttp.ClientSession, url: str, deadline: Deadline, keepalive: float | None = KEEPALIVE
) -> RpcConnection:
    """
    Connects, and tries again while the sandbox is not reachable yet.

    :raises TimeoutException: it was not reachable in time; the message has the last reason
    """
    delays = iter(_RETRY_DELAYS)
    last: Exception | None = None
    while True:
        try:
            return RpcConnection(await deadline.run(open_socket(session, url, keepalive), "Connecting to the sandbox"))
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403, 404, 410):
                raise NotFoundException(f"The sandbox is not there: {error.status} {error.message}") from error
            last = error
        except (aiohttp.ClientError, OSError) as error:
            last = last if deadline.passed and last else error
        delay = next(delays, _RETRY_DELAYS[-1])
        left = deadline.left()
        if left is not None and left <= delay:
            raise TimeoutException(f"The sandbox cannot be reached: {last}") from last
        await asyncio.sleep(delay)


async def open_socket(
    session: aiohttp.ClientSession, url: str, keepalive: float | None = KEEPALIVE
) -> aiohttp.ClientWebSocketResponse:
    """A peer that keeps silent over `keepalive`, or over the closing, is taken for gone."""
    return await session.ws_connect(
        url,
        max_msg_size=MAX_MESSAGE_BYTES,
        heartbeat=keepalive,
        timeout=aiohttp.ClientWSTimeout(ws_close=2),
    )


def _settle(answer: asyncio.Future[Any], outcome: Any) -> None:
    if answer.done():
        return
    if isinstance(outcome, BaseException):
        answer.set_exception(outcome)
        # It may be that nobody waits any more.
        answer.exception()
    else:
        answer.set_result(outcome)


def _read_error(error: Any, id: Any) -> RpcException:
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    message = str(fields.get("message", error))
    return RpcException(code if isinstance(code, int) else -32000, message, id, fields.get("data"))
