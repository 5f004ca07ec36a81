"""Files by JSON-RPC and by HTTP, and simple processes, against a fake sandbox."""

from __future__ import annotations

import asyncio
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from fake_backend import FakeBackend, FakeConnection

from sandbox_sdk import (
    ConnectionLostException,
    FileInfo,
    FilesystemEvent,
    FilesystemException,
    FilesystemOperation,
    ProcessException,
    Sandbox,
    SimpleProcessResult,
    TimeoutException,
)
from sandbox_sdk.paths import resolve_path

EVERY_BYTE = bytes(range(256)) * 5


async def test_bytes_and_text_come_back(sandbox: Sandbox) -> None:
    await sandbox.filesystem.write_bytes("/x", EVERY_BYTE)
    assert await sandbox.filesystem.read_bytes("/x") == EVERY_BYTE
    await sandbox.filesystem.write("/t", "smörgås \u2028\0")
    assert await sandbox.filesystem.read("/t") == "smörgås \u2028\0"
    assert await sandbox.filesystem.list("/") == [FileInfo(True, "a"), FileInfo(False, "b")]
    with pytest.raises(ValueError, match="UTF-8"):
        await sandbox.filesystem.write("/t", "\ud800")


async def test_refusals_and_nonsense_are_filesystem_exceptions(backend: FakeBackend, sandbox: Sandbox) -> None:
    with pytest.raises(FilesystemException, match="no such file"):
        await sandbox.filesystem.read("/none")

    async def nonsense(peer: FakeConnection, call: dict[str, Any]) -> bool:
        await peer.answer(call, {"no": "sense"})
        return True

    backend.override = nonsense
    with pytest.raises(FilesystemException, match="base64"):
        await sandbox.filesystem.read_bytes("/x")
    with pytest.raises(FilesystemException, match="directory"):
        await sandbox.filesystem.list("/")
    with pytest.raises(FilesystemException, match="text"):
        await sandbox.filesystem.read("/x")


@pytest.mark.parametrize(
    ("path", "cwd", "expected"),
    [
        ("/a/../b", None, "/a/../b"),
        ("~", None, "/home/user"),
        ("~/x", "/code", "/home/user/x"),
        ("x", None, "/home/user/x"),
        ("x", "/code", "/code/x"),
        ("./x", "/code", "/code/x"),
        (".", "/code", "/code"),
        ("../x", None, "/home/user/../x"),
        (".hidden", None, "/home/user/.hidden"),
    ],
)
def test_paths(path: str, cwd: str | None, expected: str) -> None:
    assert resolve_path(path, cwd) == expected


@pytest.mark.parametrize("path", ["", "a\0b", None])
def test_paths_that_cannot_be(path: Any) -> None:
    with pytest.raises(ValueError, match="path"):
        resolve_path(path)


async def test_files_are_sent_and_fetched(backend: FakeBackend, sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / 'odd "näme" ü %20.bin'
    source.write_bytes(EVERY_BYTE)
    with source.open("rb") as file:
        where = await sandbox.upload_file(file)
    assert where == f"/home/user/{source.name}"
    assert backend.files[where] == EVERY_BYTE
    assert await sandbox.upload_file(source, path="/code/x") == "/code/x"
    assert await sandbox.download_file("/code/x") == EVERY_BYTE
    assert await sandbox.upload_file(io.BytesIO(b""), path="empty") == "/home/user/empty"
    assert await sandbox.download_file("empty") == b""
    with source.open(encoding="latin-1") as text:
        assert await sandbox.upload_file(text.buffer, path="/t") == "/t"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no name"):
        await sandbox.upload_file(io.BytesIO(b"x"))
    with pytest.raises(FilesystemException, match="404 Not Found File not found: /none"):
        await sandbox.download_file("/none")


async def test_large_files_come_in_pieces(backend: FakeBackend, sandbox: Sandbox, tmp_path: Path) -> None:
    backend.files["/large"] = os.urandom(1024) * 5000
    sizes = [len(piece) async for piece in sandbox.stream_file("/large")]
    assert sum(sizes) == 5_120_000
    assert max(sizes) <= 256 * 1024
    target = tmp_path / "large"
    assert await sandbox.download_to("/large", target) == 5_120_000
    assert target.read_bytes() == backend.files["/large"]


async def test_large_files_take_little_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    large = tmp_path / "large"
    tracemalloc.start()
    try:
        assert await sandbox.download_to("/dev/zero", large) == 64 * 2**20
        await sandbox.upload_file(large, path="/dev/null")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20  # both ends of the wire


async def test_a_download_that_is_cut_leaves_nothing(backend: FakeBackend, sandbox: Sandbox, tmp_path: Path) -> None:
    backend.files["/x.cut"] = b"x" * 100_000
    with pytest.raises(ConnectionLostException):
        await sandbox.download_file("/x.cut")
    target = tmp_path / "kept"
    target.write_text("before")
    with pytest.raises(ConnectionLostException):
        await sandbox.download_to("/x.cut", target)
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    assert target.read_text() == "before"


async def test_changes_of_a_directory_are_told(backend: FakeBackend, sandbox: Sandbox) -> None:
    events: asyncio.Queue[FilesystemEvent] = asyncio.Queue()
    row = {"path": "/tmp/a", "name": "a", "operation": "Write", "timestamp": 7, "isDir": False}

    async def script(peer: FakeConnection, call: dict[str, Any]) -> bool:
        if call["method"] != "filesystem_subscribe":
            return False
        await peer.answer(call, "0xw")
        for event in ("nonsense", {**row, "operation": "Guess"}, row):
            await peer.notify("filesystem", "0xw", event)
        return True

    backend.override = script
    watcher = sandbox.filesystem.watch_dir("/tmp")
    watcher.add_event_listener(events.put_nowait)
    removed = watcher.add_event_listener(lambda _: pytest.fail("it was taken away"))
    removed()
    await watcher.start()
    event = await asyncio.wait_for(events.get(), 10)
    assert event == FilesystemEvent("/tmp/a", "a", FilesystemOperation.WRITE, 7, False)
    assert watcher.is_watching
    await watcher.stop()
    assert await backend.until_sent("filesystem_unsubscribe") == ["0xw"]


async def test_a_simple_process_tells_its_result_to_all_who_wait(backend: FakeBackend, sandbox: Sandbox) -> None:
    release = asyncio.Event()

    async def wait() -> dict[str, Any]:
        await release.wait()
        return {"stdout": "hi\n", "stderr": "", "exit_code": 3}

    backend.process_answers = {"create": {"pid": 5}, "wait": wait, "kill": web.Response()}
    process = await sandbox.simple_process.start("echo hi", env_vars={"X": "1"}, cwd="/tmp", user="root")
    body = {"cmd": "echo hi", "envs": {"X": "1"}, "cwd": "/tmp", "user": "root"}
    assert backend.requests[-1] == {"method": "create", "params": body}
    with pytest.raises(TimeoutException):
        await process.wait(0.05)
    others = [asyncio.create_task(process.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    release.set()
    expected = SimpleProcessResult("hi\n", "", 3)
    assert await asyncio.gather(*others) == [expected, expected]
    assert await process.wait() == expected
    assert len(backend.sent("wait")) == 1
    await process.kill()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (web.Response(text="{", content_type="application/json"), "no JSON"),
        ({"pid": "x"}, "answered"),
        ([], "answered"),
        (web.Response(status=500, text="no such user"), "500 Internal Server Error no such user"),
        (web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), "302"),
    ],
)
async def test_a_simple_process_that_cannot_start(
    backend: FakeBackend, sandbox: Sandbox, answer: Any, words: str
) -> None:
    backend.process_answers = {"create": answer}
    with pytest.raises(ProcessException, match=words):
        await sandbox.simple_process.start("x")
