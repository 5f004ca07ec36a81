"""Processes and terminals, against a fake sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_backend import FakeBackend, FakeConnection

from sandbox_sdk import (
    ConnectionLostException,
    CurrentWorkingDirectoryDoesntExistException,
    ProcessException,
    ProcessMessage,
    Sandbox,
    TerminalException,
    TimeoutException,
)


async def test_output_comes_before_the_exit_code(sandbox: Sandbox) -> None:
    seen: list[Any] = []
    process = await sandbox.process.start(
        "echo hello", on_stdout=lambda message: seen.append(message.line), on_exit=seen.append
    )
    output = await process.wait()
    assert (output.stdout, output.exit_code, output.error) == ("hello", 0, False)
    assert seen == ["hello", 0]
    assert process.finished.is_set()


async def test_lines_are_sorted_by_their_time(backend: FakeBackend, sandbox: Sandbox) -> None:
    async def script(peer: FakeConnection, call: dict[str, Any]) -> bool:
        if call["method"] != "process_start":
            return False
        id = call["params"][0]
        await peer.answer(call, id)
        for line, timestamp, error in [("c", 3, False), ("a", 1, False), ("x", 2, True), ("b", 1, False)]:
            await peer.line(id, line, timestamp, error)
        await peer.exit(id, 4)
        return True

    backend.override = script
    output = await sandbox.process.start_and_wait("anything")
    assert [message.line for message in output.messages] == ["a", "b", "x", "c"]
    assert (output.stdout, output.stderr, output.error, output.exit_code) == ("a\nb\nc", "x", True, 4)


async def test_asynchronous_callbacks_are_waited_for_and_failures_are_not_fatal(sandbox: Sandbox) -> None:
    seen: list[str] = []

    async def slow(message: ProcessMessage) -> None:
        await asyncio.sleep(0.02)
        seen.append(message.line)
        raise RuntimeError("of the user")

    async def at_exit() -> None:
        seen.append("exit")
        assert (await process.wait()).exit_code == 0
        seen.append("waited")

    process = await sandbox.process.start("echo hello", on_stdout=slow, on_exit=at_exit)
    await process.wait(10)
    assert seen == ["hello", "exit", "waited"]


async def test_callbacks_of_the_sandbox_are_for_processes_without_their_own(backend: FakeBackend) -> None:
    seen: list[str] = []
    sandbox = await Sandbox.create(**backend.where, on_stdout=lambda message: seen.append(f"sandbox {message}"))
    async with sandbox:
        await sandbox.process.start_and_wait("echo 1")
        await sandbox.process.start_and_wait("echo 2", on_stdout=lambda message: seen.append(f"own {message}"))
    assert seen == ["sandbox 1", "own 2"]


async def test_what_is_sent(backend: FakeBackend) -> None:
    async with await Sandbox.create(**backend.where, cwd="/code", env_vars={"A": "1", "B": "2"}) as sandbox:
        env = {"B": "3"}
        await sandbox.process.start_and_wait("echo x", env_vars=env)
        await sandbox.process.start_and_wait(["echo", "it's", "$HOME"], cwd="sub")
        await sandbox.terminal.start(print, 80, 24, env_vars=env)
        assert env == {"B": "3"}
        assert sandbox.env_vars == {"A": "1", "B": "2"}
    assert backend.sent("filesystem_makeDir") == [["/code"]]
    first, second = backend.sent("process_start")
    assert first[1:] == ["echo x", {"PYTHONUNBUFFERED": "1", "A": "1", "B": "3"}, "/code"]
    assert second[1] == "echo 'it'\"'\"'s' '$HOME'"
    assert second[3] == "/code/sub"
    assert backend.sent("terminal_start")[0][1:] == [80, 24, {"A": "1", "B": "3"}, None, "/code"]
    names = [params[0] for params in backend.sent("process_subscribe")[:3]]
    assert sorted(names) == ["onExit", "onStderr", "onStdout"]


async def refuse_start(peer: FakeConnection, call: dict[str, Any]) -> bool:
    if call["method"] not in ("process_start", "terminal_start"):
        return False
    id = call["params"][0]
    if call["method"] == "process_start" and call["params"][3] == "/missing":
        text = f"error starting process '{id}': fork/exec /bin/bash: no such file or directory"
    else:
        text = f"error starting new terminal '{id}': no"
    await peer.refuse(call, text)
    return True


async def test_refusals_are_told_apart(backend: FakeBackend, sandbox: Sandbox) -> None:
    backend.override = refuse_start
    with pytest.raises(CurrentWorkingDirectoryDoesntExistException, match="/missing"):
        await sandbox.process.start("echo", cwd="/missing")
    with pytest.raises(ProcessException, match="no"):
        await sandbox.process.start("echo x")
    with pytest.raises(TerminalException, match="no"):
        await sandbox.terminal.start(print, 80, 24)
    await backend.until_sent("terminal_unsubscribe")
    assert len(backend.sent("process_unsubscribe")) == 6


async def test_a_start_that_is_cancelled_leaves_nothing(backend: FakeBackend, sandbox: Sandbox) -> None:
    started = asyncio.Event()

    async def hang(_: FakeConnection, call: dict[str, Any]) -> bool:
        if call["method"] == "process_start":
            started.set()
        return bool(call["method"] == "process_start")

    backend.override = hang
    work = asyncio.create_task(sandbox.process.start("echo x", process_id="mine"))
    await started.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await backend.until_sent("process_kill") == ["mine"]
    assert len(backend.sent("process_unsubscribe")) == 3


async def test_kill_wait_and_time_limits(backend: FakeBackend, sandbox: Sandbox) -> None:
    process = await sandbox.process.start("sleep")
    with pytest.raises(TimeoutException):
        await process.wait(0.02)
    assert process.exit_code is None
    await process.kill()
    assert (await process.wait(10)).exit_code == -1
    with pytest.raises(TimeoutException):
        await sandbox.process.start_and_wait("sleep", process_id="second", wait_timeout=0.02)
    while ["second"] not in backend.sent("process_kill"):
        await asyncio.sleep(0.005)


async def test_closing_fails_what_waits(sandbox: Sandbox) -> None:
    process = await sandbox.process.start("sleep", on_exit=lambda: pytest.fail("it did not exit"))
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    await sandbox.close()
    with pytest.raises(ConnectionLostException):
        await waiting
    assert process.finished.is_set()


async def test_a_lost_connection_is_opened_again(backend: FakeBackend, sandbox: Sandbox) -> None:
    async def vanish(peer: FakeConnection, call: dict[str, Any]) -> bool:
        if call["method"] == "process_stdin":
            await peer.ws.close()
        return bool(call["method"] == "process_stdin")

    process = await sandbox.process.start("sleep")
    backend.override = vanish
    with pytest.raises(ConnectionLostException):
        await process.send_stdin("x")
    with pytest.raises(ConnectionLostException):
        await process.wait()
    assert (await sandbox.process.start_and_wait("echo again")).stdout == "again"
    assert backend.connections == 2


async def test_output_need_not_be_kept(sandbox: Sandbox) -> None:
    seen: list[str] = []
    process = await sandbox.process.start(
        "echo x", on_stdout=lambda message: seen.append(str(message)), keep_output=False
    )
    await process.wait()
    assert seen == ["x"]
    assert process.output_messages == []


@pytest.mark.parametrize("cmd", ["", "  ", "a\0b", []])
async def test_commands_that_cannot_be(sandbox: Sandbox, cmd: Any) -> None:
    with pytest.raises(ValueError, match="command"):
        await sandbox.process.start(cmd)


async def test_a_terminal_shows_and_ends(backend: FakeBackend, sandbox: Sandbox) -> None:
    async def script(peer: FakeConnection, call: dict[str, Any]) -> bool:
        if call["method"] != "terminal_data":
            return False
        await peer.answer(call)
        await peer.tell("terminal", "onData", call["params"][0], f"<{call['params'][1]}>")
        await peer.tell("terminal", "onExit", call["params"][0], {})
        return True

    backend.override = script
    seen: list[str] = []
    terminal = await sandbox.terminal.start(seen.append, 80, 24, on_exit=lambda: seen.append("exit"))
    await terminal.resize(100, 30)
    await terminal.send_data("ls\n")
    assert (await terminal.wait(10)).data == "<ls\n>"
    assert seen == ["<ls\n>", "exit"]
    assert backend.sent("terminal_resize")[0][1:] == [100, 30]
