"""The life of a sandbox, against a fake backend."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest
from fake_backend import TOKEN, FakeBackend, FakeConnection

from sandbox_sdk import (
    AuthenticationException,
    ControlException,
    NotFoundException,
    OpenPort,
    Sandbox,
    SandboxException,
    SandboxNotOpenException,
    TimeoutException,
)
from sandbox_sdk.code_interpreter import CodeInterpreter
from sandbox_sdk.settings import read_settings


def control(backend: FakeBackend) -> dict[str, Any]:
    return {"target_addr": "127.0.0.1", "control_port": backend.control_port}


async def test_one_is_made_listed_joined_and_killed(backend: FakeBackend) -> None:
    made = await Sandbox.create(**backend.where, metadata={"who": "me"}, api_key="key_1")
    assert backend.metadata[-1]["x-api-key"] == "key_1"
    [row] = await Sandbox.list(**control(backend))
    assert (row.sandbox_id, row.template_id, row.metadata, row.state) == (
        made.id,
        "default-sandbox",
        {"who": "me"},
        "running",
    )
    assert row.started_at is not None
    assert abs(row.started_at - datetime.now(timezone.utc)) < timedelta(minutes=1)
    await made.close()
    await made.close()
    assert backend.deleted == []
    async with await Sandbox.connect(made.id, **backend.where) as joined:
        assert (await joined.process.start_and_wait("echo joined")).stdout == "joined"
    await Sandbox.kill(made.id, **control(backend))
    assert backend.deleted == [made.id]
    with pytest.raises(NotFoundException):
        await Sandbox.kill(made.id, **control(backend))
    with pytest.raises(NotFoundException):
        await Sandbox.connect(made.id, **backend.where)


async def test_the_key_comes_from_the_environment(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    await Sandbox.list(**control(backend))
    assert "x-api-key" not in backend.metadata[-1]
    monkeypatch.setenv("SANDBOX_API_KEY", "key_2")
    await Sandbox.list(**control(backend))
    assert backend.metadata[-1]["x-api-key"] == "key_2"
    with pytest.raises(ValueError, match="API key"):
        await Sandbox.list(**control(backend), api_key="new\nline")


async def test_the_machine_ends_with_the_object_if_that_is_wanted(backend: FakeBackend) -> None:
    async with await Sandbox.create(**backend.where, kill_on_close=True) as sandbox:
        pass
    assert backend.deleted == [sandbox.id]
    await sandbox.close()
    other = await Sandbox.create(**backend.where)
    await other.close(kill=True)
    await other.close(kill=True)
    assert backend.deleted == [sandbox.id, other.id]


async def test_a_program_that_closes_nothing_ends_without_a_word(backend: FakeBackend) -> None:
    program = f"""
import asyncio
from sandbox_sdk import Sandbox

async def main():
    sandbox = await Sandbox.create(**{backend.where!r})
    await sandbox.process.start("sleep")
    print((await sandbox.process.start_and_wait("echo done")).stdout)

asyncio.run(main(), debug=True)
"""
    command = [sys.executable, "-X", "dev", "-c", program]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 0)
    assert backend.deleted == []


async def test_a_closed_object_says_so(sandbox: Sandbox) -> None:
    assert sandbox.is_open
    await sandbox.close()
    assert not sandbox.is_open
    for work in (
        sandbox.process.start("x"),
        sandbox.filesystem.read("/x"),
        sandbox.simple_process.start("x"),
        sandbox.download_file("/x"),
        sandbox.snapshot(),
    ):
        with pytest.raises(SandboxNotOpenException):
            await work


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, ControlException),
        (grpc.StatusCode.NOT_FOUND, NotFoundException),
        (grpc.StatusCode.UNAUTHENTICATED, AuthenticationException),
        (grpc.StatusCode.PERMISSION_DENIED, AuthenticationException),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimeoutException),
    ],
)
async def test_refusals_of_the_backend(
    backend: FakeBackend, code: grpc.StatusCode, kind: type[SandboxException]
) -> None:
    backend.refuse_create = code
    with pytest.raises(kind, match="no such template") as caught:
        await Sandbox.create(**backend.where)
    assert isinstance(caught.value, grpc.RpcError)
    assert isinstance(caught.value, SandboxException)
    assert isinstance(caught.value, ControlException)
    assert (caught.value.code(), caught.value.details()) == (code, "no such template")


async def test_no_backend_says_where_it_was_looked_for() -> None:
    with pytest.raises(ControlException, match=r"127\.0\.0\.1:1\?"):
        await Sandbox.create(target_addr="127.0.0.1", control_port=1)


async def test_a_machine_that_cannot_be_reached_is_ended(backend: FakeBackend) -> None:
    where = {**backend.where, "proxy_port": 1}
    with pytest.raises(TimeoutException, match="cannot be reached"):
        await Sandbox.create(**where, timeout=0.5)
    assert len(backend.deleted) == 1
    assert backend.sandboxes == {}


@pytest.mark.parametrize("cancel", [True, False])
async def test_a_machine_that_nobody_gets_is_ended(backend: FakeBackend, cancel: bool) -> None:
    backend.hang_create.clear()
    work = asyncio.create_task(Sandbox.create(**backend.where, timeout=60 if cancel else 0.3))
    await backend.creating.wait()
    if cancel:
        work.cancel()
    with pytest.raises(asyncio.CancelledError if cancel else TimeoutException):
        await work
    assert len(backend.deleted) == 1


async def test_without_json_rpc_it_connects_when_needed(backend: FakeBackend) -> None:
    async with await Sandbox.create(**backend.where, connect_rpc=False, cwd="/code") as sandbox:
        assert backend.connections == 0
        backend.process_answers = {"create": {"pid": 1}}
        await sandbox.simple_process.start("x")
        assert backend.connections == 0
        await asyncio.gather(*(sandbox.process.start_and_wait("echo 1") for _ in range(5)))
        assert backend.connections == 1
    assert backend.sent("filesystem_makeDir") == [["/code"]]


async def test_snapshots_and_memory(backend: FakeBackend, sandbox: Sandbox) -> None:
    snapshot = await sandbox.snapshot()
    assert (snapshot.path, snapshot.name) == ("/data/snapshots/snapshot-1", "snapshot-1")
    assert (await sandbox.snapshot(name="mine")).name == "mine"
    assert (await sandbox.deactive()).reclaimed_bytes == 3
    async with await Sandbox.create(**backend.where, from_snapshot=snapshot) as other:
        assert other.template_id == "snapshot-1"
    with pytest.raises(ValueError, match="not both"):
        await Sandbox.create("default-sandbox", from_snapshot=snapshot, **backend.where)
    await sandbox.snapshot(delete=True)
    assert not sandbox.is_open


async def test_open_ports_are_told(backend: FakeBackend) -> None:
    async def script(peer: FakeConnection, call: dict[str, Any]) -> bool:
        if call["params"] != ["scanOpenedPorts"]:
            return False
        await peer.answer(call, "0xp")
        await peer.notify("codeSnippet", "0xp", [{"Ip": "127.0.0.1", "Port": 80, "State": "LISTEN"}, {"Ip": 1}, 7])
        return True

    backend.override = script
    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with await Sandbox.create(**backend.where, on_scan_ports=heard.put_nowait):
        assert await asyncio.wait_for(heard.get(), 10) == [OpenPort("127.0.0.1", 80, "LISTEN")]


async def test_urls_and_actions(backend: FakeBackend, sandbox: Sandbox) -> None:
    base = f"127.0.0.1:{backend.proxy_port}/{TOKEN}"
    assert sandbox.get_sbx_url(8080) == f"{base}/8080"
    assert sandbox.file_url() == f"http://{base}/49982/file"
    assert (sandbox.get_protocol(), sandbox.get_protocol("ws", secure=True)) == ("http", "wss")
    with pytest.raises(ValueError, match="no port"):
        sandbox.get_sbx_url(0)

    @sandbox.action()
    def greet(_: Sandbox, args: dict[str, str]) -> str:
        return f"hello {args['name']}"

    assert sandbox.actions == {"greet": greet}
    assert sandbox.remove_action("greet").actions == {}


async def test_subclasses_have_their_own_template(backend: FakeBackend) -> None:
    async with await CodeInterpreter.create(**backend.where) as sandbox:
        assert sandbox.template_id == "default-code-interpreter"
        assert isinstance(sandbox, CodeInterpreter)


def test_the_environment_says_where_the_backend_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BACKEND_ADDR", "CONTROL_PORT", "PROXY_PORT", "API_KEY", "SDK_SECURE", "CONTROL_SECURE"):
        monkeypatch.delenv(f"SANDBOX_{name}", raising=False)
    settings = read_settings()
    assert (settings.host, settings.control_port, settings.proxy_port) == ("127.0.0.1", 5000, 6666)
    assert (settings.secure, settings.control_secure) == (False, False)
    monkeypatch.setenv("SANDBOX_BACKEND_ADDR", "box.example")
    monkeypatch.setenv("SANDBOX_CONTROL_PORT", "5001")
    monkeypatch.setenv("SANDBOX_SDK_SECURE", "TRUE")
    settings = read_settings(proxy_port=1, api_key="secret")
    assert (settings.host, settings.control_port, settings.proxy_port) == ("box.example", 5001, 1)
    assert (settings.secure, settings.control_secure) == (True, True)
    assert "secret" not in repr(settings)
    assert read_settings("::1").host == "[::1]"
    for bad in ("http://x", "x/y", "x:5000", "a b", "-x", "x\n"):
        with pytest.raises(ValueError, match="no host name"):
            read_settings(bad)
    monkeypatch.setenv("SANDBOX_CONTROL_PORT", "70000")
    with pytest.raises(ValueError, match="SANDBOX_CONTROL_PORT"):
        read_settings()
