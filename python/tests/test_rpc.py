"""JSON-RPC with a peer that makes every fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_socket import FakeSocket, Script, frame, serve

from sandbox_sdk import ConnectionLostException, RpcException, SandboxException, TimeoutException
from sandbox_sdk.deadline import Deadline
from sandbox_sdk.http import open_session
from sandbox_sdk.rpc import RpcConnection, open_rpc


@asynccontextmanager
async def connected(script: Script, keepalive: float | None = None) -> AsyncIterator[RpcConnection]:
    server, url = await serve(script)
    session = open_session()
    try:
        rpc = await open_rpc(session, url, Deadline(10), keepalive)
        try:
            yield rpc
        finally:
            await rpc.close()
    finally:
        await session.close()
        server.close()


def ignore(_: Any) -> None:
    pass


async def test_an_event_in_the_same_read_as_the_answer_is_heard() -> None:
    async def script(peer: FakeSocket) -> None:
        call = await peer.next_call()
        event = {"jsonrpc": "2.0", "method": "x_subscription", "params": {"subscription": "0x1", "result": "first"}}
        await peer.send(frame({"jsonrpc": "2.0", "id": call["id"], "result": "0x1"}) + frame(event))
        await peer.next_call()

    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with connected(script) as rpc:
        await rpc.subscribe("x", "name", on_event=heard.put_nowait, on_lost=ignore, deadline=Deadline(10))
        assert await asyncio.wait_for(heard.get(), 10) == "first"


async def test_an_answer_that_comes_too_late_hurts_nothing() -> None:
    release = asyncio.Event()

    async def script(peer: FakeSocket) -> None:
        late = await peer.next_call()
        await release.wait()
        await peer.send(frame({"jsonrpc": "2.0", "id": late["id"], "result": "late"}))
        call = await peer.next_call()
        await peer.send(frame({"jsonrpc": "2.0", "id": call["id"], "result": "in time"}))
        await peer.next_call()

    async with connected(script) as rpc:
        with pytest.raises(TimeoutException, match="a_b"):
            await rpc.call("a_b", deadline=Deadline(0.05))
        release.set()
        assert await rpc.call("a_b", deadline=Deadline(10)) == "in time"


@pytest.mark.parametrize("cancel", [True, False])
async def test_a_subscription_that_nobody_waits_for_any_more_is_ended(cancel: bool) -> None:
    release = asyncio.Event()
    asked = asyncio.Event()
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def script(peer: FakeSocket) -> None:
        call = await peer.next_call()
        asked.set()
        await release.wait()
        await peer.send(frame({"jsonrpc": "2.0", "id": call["id"], "result": "0x9"}))
        ended.set_result(await peer.next_call())

    async with connected(script) as rpc:
        deadline = Deadline(30 if cancel else 0.05)
        work = asyncio.create_task(rpc.subscribe("x", "name", on_event=ignore, on_lost=ignore, deadline=deadline))
        await asked.wait()
        if cancel:
            work.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else TimeoutException):
            await work
        release.set()
        call = await asyncio.wait_for(ended, 10)
        assert (call["method"], call["params"]) == ("x_unsubscribe", ["0x9"])


async def test_an_error_has_its_code_and_text() -> None:
    async def script(peer: FakeSocket) -> None:
        call = await peer.next_call()
        error = {"code": -32601, "message": "the method a_b does not exist/is not available", "data": [1]}
        await peer.send(frame({"jsonrpc": "2.0", "id": call["id"], "error": error}))
        await peer.next_call()

    async with connected(script) as rpc:
        with pytest.raises(RpcException, match="does not exist") as caught:
            await rpc.call("a_b", deadline=Deadline(10))
        assert (caught.value.code, caught.value.id, caught.value.data) == (-32601, 1, [1])


@pytest.mark.parametrize("garbage", ["{", "[]", "17", '{"params": 3}', '"\\ud800"', "[" * 60_000])
async def test_what_is_no_json_rpc_fails_all_that_wait(garbage: str) -> None:
    async def script(peer: FakeSocket) -> None:
        await peer.next_call()
        await peer.send(frame(garbage))
        await peer.next_call()

    async with connected(script) as rpc:
        with pytest.raises(SandboxException, match="no JSON"):
            await rpc.call("a_b", deadline=Deadline(10))
        assert not rpc.is_open


async def test_answers_to_nobody_and_errors_without_an_id_are_skipped() -> None:
    async def script(peer: FakeSocket) -> None:
        call = await peer.next_call()
        strangers: list[Any] = [None, "1", 99, [], {}]
        for id in strangers:
            await peer.send(frame({"jsonrpc": "2.0", "id": id, "result": 0}))
        await peer.send(frame({"jsonrpc": "2.0", "error": {"code": -32700, "message": "parse error"}}))
        await peer.send(frame({"jsonrpc": "2.0", "id": call["id"], "result": 1}))
        await peer.next_call()

    async with connected(script) as rpc:
        assert await rpc.call("a_b", deadline=Deadline(10)) == 1


async def half_close(peer: FakeSocket) -> None:
    peer.writer.write_eof()
    await peer.reader.read()


async def half_a_frame(peer: FakeSocket) -> None:
    await peer.send(frame({"id": 1})[:5])


async def reset(peer: FakeSocket) -> None:
    peer.writer.transport.abort()


@pytest.mark.parametrize("end", [half_close, half_a_frame, reset])
async def test_a_connection_that_ends_fails_calls_and_subscriptions(end: Script) -> None:
    async def script(peer: FakeSocket) -> None:
        call = await peer.next_call()
        await peer.send(frame({"jsonrpc": "2.0", "id": call["id"], "result": "0x1"}))
        await peer.next_call()
        await end(peer)

    lost: list[SandboxException] = []
    async with connected(script) as rpc:
        await rpc.subscribe("x", "name", on_event=ignore, on_lost=lost.append, deadline=Deadline(10))
        with pytest.raises(ConnectionLostException):
            await rpc.call("a_b", deadline=Deadline(None))
        with pytest.raises(ConnectionLostException):
            await rpc.call("a_b", deadline=Deadline(None))
    assert len(lost) == 1


async def test_a_peer_that_keeps_silent_is_noticed() -> None:
    async def script(peer: FakeSocket) -> None:
        while True:
            await peer.next_call()

    async with connected(script, keepalive=0.1) as rpc:
        with pytest.raises(ConnectionLostException):
            await rpc.call("a_b", deadline=Deadline(None))


async def test_a_sandbox_that_cannot_be_reached_says_why() -> None:
    session = open_session()
    try:
        with pytest.raises(TimeoutException, match=r"cannot be reached: .*(refused|connect)"):
            await open_rpc(session, "ws://127.0.0.1:1/ws", Deadline(0.2))
    finally:
        await session.close()
