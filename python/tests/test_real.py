"""Against a real backend with real machines, which SANDBOX_BACKEND_ADDR and the ports tell of."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox_sdk import (
    ControlException,
    CurrentWorkingDirectoryDoesntExistException,
    FilesystemEvent,
    FilesystemException,
    NotFoundException,
    OpenPort,
    ProcessException,
    ProcessMessage,
    Sandbox,
)
from sandbox_sdk.code_interpreter import CodeInterpreter

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

TEMPLATE = os.environ.get("SANDBOX_TEST_TEMPLATE", "default-sandbox")
CREATE_SECONDS = 120.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with await Sandbox.create(TEMPLATE, timeout=CREATE_SECONDS, kill_on_close=True) as sandbox:
        yield sandbox


async def test_the_program_of_the_first_page_runs_as_written() -> None:
    """The words of the document that this project is measured by; only the address is given a value."""
    program = r"""
import asyncio
from sandbox_sdk.sandbox import Sandbox

SANDBOX_BACKEND_ADDR = "127.0.0.1"

async def main():
  template = "default-sandbox"
  ci = await Sandbox.create(
      template=template,
      target_addr=SANDBOX_BACKEND_ADDR,
  )
  p = await ci.process.start("python -c \"print('Hello World')\"")
  await p.wait()
  print(p.stdout)


asyncio.run(main())
"""
    before = {one.sandbox_id for one in await Sandbox.list()}
    try:
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
        )
        assert (ran.stdout, ran.stderr, ran.returncode) == ("Hello World\n", "", 0)
    finally:
        for one in await Sandbox.list():
            if one.sandbox_id not in before:
                await Sandbox.kill(one.sandbox_id)


async def test_one_is_listed_joined_and_killed() -> None:
    made = await Sandbox.create(TEMPLATE, metadata={"purpose": "test"}, timeout=CREATE_SECONDS)
    try:
        [row] = [one for one in await Sandbox.list() if one.sandbox_id == made.id]
        assert (row.template_id, row.metadata, row.state) == (TEMPLATE, {"purpose": "test"}, "running")
        assert row.started_at is not None
        await made.filesystem.write("/home/user/kept", "here")
        await made.close()
        async with await Sandbox.connect(made.id) as joined:
            assert await joined.filesystem.read("kept") == "here"
    finally:
        await Sandbox.kill(made.id)
    assert made.id not in [one.sandbox_id for one in await Sandbox.list()]
    with pytest.raises(NotFoundException):
        await Sandbox.connect(made.id)
    with pytest.raises(NotFoundException):
        await Sandbox.kill(made.id)


async def test_a_template_that_is_not_there_is_refused() -> None:
    before = len(await Sandbox.list())
    with pytest.raises(ControlException, match="no-such-template"):
        await Sandbox.create("no-such-template")
    assert len(await Sandbox.list()) == before


async def test_a_process_tells_lines_and_its_exit_code(sandbox: Sandbox) -> None:
    seen: list[ProcessMessage] = []
    output = await sandbox.process.start_and_wait(
        "echo one; echo two >&2; printf three; exit 7", on_stdout=seen.append, on_stderr=seen.append
    )
    assert (output.stdout, output.stderr, output.exit_code, output.error) == ("one\nthree", "two", 7, True)
    assert sorted(str(message) for message in seen) == ["one", "three", "two"]
    assert all(message.timestamp > 1_600_000_000_000_000_000 for message in output.messages)


async def test_a_process_has_environment_directory_and_input(sandbox: Sandbox) -> None:
    output = await sandbox.process.start_and_wait(
        ["sh", "-c", "echo $A; pwd; id -un; echo $0", "it's $HOME"], env_vars={"A": "x y"}, cwd="/tmp"
    )
    assert output.stdout == "x y\n/tmp\nuser\nit's $HOME"
    process = await sandbox.process.start("read line; echo got $line")
    await process.send_stdin("smörgås\n")
    assert (await process.wait(30)).stdout == "got smörgås"
    with pytest.raises(CurrentWorkingDirectoryDoesntExistException):
        await sandbox.process.start("true", cwd="/not/there")
    with pytest.raises(ProcessException):
        await process.send_stdin("too late")


async def test_a_process_is_killed(sandbox: Sandbox) -> None:
    process = await sandbox.process.start("sleep 1000")
    await process.kill()
    assert (await process.wait(30)).exit_code == -1


async def test_much_output_comes_whole_and_in_order(sandbox: Sandbox) -> None:
    output = await sandbox.process.start_and_wait("seq 1 20000", wait_timeout=120)
    assert output.stdout == "\n".join(map(str, range(1, 20001)))


async def test_processes_at_the_same_time_are_told_apart(sandbox: Sandbox) -> None:
    outputs = await asyncio.gather(*(sandbox.process.start_and_wait(f"echo {i}; exit {i}") for i in range(8)))
    assert [(one.stdout, one.exit_code) for one in outputs] == [(str(i), i) for i in range(8)]


async def test_a_terminal_is_a_terminal(sandbox: Sandbox) -> None:
    seen: list[str] = []
    terminal = await sandbox.terminal.start(seen.append, 97, 31, cwd="/tmp", env_vars={"A": "from-env"})
    await terminal.send_data("stty size; pwd; echo $A $TERM; exit\n")
    output = await terminal.wait(60)
    assert "31 97" in output.data
    assert "/tmp" in output.data
    assert "from-env xterm" in output.data
    assert "".join(seen) == output.data
    other = await sandbox.terminal.start(seen.append, 80, 24, cmd="sleep 1000")
    await other.resize(100, 50)
    await other.kill()
    await other.wait(30)


async def test_files_by_json_rpc(sandbox: Sandbox) -> None:
    every_byte = bytes(range(256)) * 3
    await sandbox.filesystem.make_dir("/home/user/d/e")
    await sandbox.filesystem.write_bytes("d/e/bytes", every_byte)
    assert await sandbox.filesystem.read_bytes("~/d/e/bytes") == every_byte
    await sandbox.filesystem.write("d/text", "smörgås\n")
    assert await sandbox.filesystem.read("/home/user/../user/d/text") == "smörgås\n"
    assert [(one.name, one.is_dir) for one in await sandbox.filesystem.list("d")] == [("e", True), ("text", False)]
    await sandbox.filesystem.remove("d")
    await sandbox.filesystem.remove("d")
    with pytest.raises(FilesystemException, match="no such file or directory"):
        await sandbox.filesystem.read("d/text")
    with pytest.raises(FilesystemException):
        await sandbox.filesystem.list("d")


async def test_changes_of_a_directory_are_told(sandbox: Sandbox) -> None:
    await sandbox.filesystem.make_dir("/tmp/watched")
    events: asyncio.Queue[FilesystemEvent] = asyncio.Queue()
    watcher = sandbox.filesystem.watch_dir("/tmp/watched")
    watcher.add_event_listener(events.put_nowait)
    await watcher.start()
    try:
        await sandbox.filesystem.write("/tmp/watched/new", "x")
        event = await asyncio.wait_for(events.get(), 60)
        assert (event.path, event.name, event.operation.value) == ("/tmp/watched/new", "new", "Create")
    finally:
        await watcher.stop()
    with pytest.raises(FilesystemException):
        await sandbox.filesystem.watch_dir("/not/there").start()


async def test_simple_processes(sandbox: Sandbox) -> None:
    process = await sandbox.simple_process.start(
        "echo $A; pwd; id -un; exit 3", env_vars={"A": "b"}, cwd="/tmp", user="root"
    )
    result = await process.wait(60)
    assert (result.stdout, result.stderr, result.exit_code) == ("b\n/tmp\nroot\n", "", 3)
    assert await process.wait() == result
    process = await sandbox.simple_process.start("sleep 1000")
    await process.kill()
    assert (await process.wait(60)).exit_code == -1


async def test_large_files_go_up_and_down(sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "large 'ü'.bin"
    source.write_bytes(os.urandom(1024 * 1024) * 24)
    where = await sandbox.upload_file(source, timeout=300)
    assert where == "/home/user/large 'ü'.bin"
    listed = await sandbox.process.start_and_wait(["stat", "-c", "%U %s", where])
    assert listed.stdout == f"user {24 * 1024 * 1024}"
    target = tmp_path / "back"
    assert await sandbox.download_to(where, target) == 24 * 1024 * 1024
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()
    await sandbox.filesystem.remove(where)
    with pytest.raises(FilesystemException, match="404"):
        await sandbox.download_file(where)


async def test_a_server_in_the_sandbox_is_reached_and_its_port_is_told() -> None:
    ports: asyncio.Queue[list[OpenPort]] = asyncio.Queue()
    async with await Sandbox.create(
        TEMPLATE, on_scan_ports=ports.put_nowait, timeout=CREATE_SECONDS, kill_on_close=True
    ) as sandbox:
        await sandbox.filesystem.write("/home/user/index.html", "served")
        server = await sandbox.process.start("exec python3 -m http.server 8000")
        url = f"{sandbox.get_protocol()}://{sandbox.get_sbx_url(8000)}/index.html"
        body = await fetch(sandbox, url)
        assert body == "served"

        async def until_told() -> None:
            while not any(one.port == 8000 and one.state == "LISTEN" for one in await ports.get()):
                pass

        await asyncio.wait_for(until_told(), 60)
        await server.kill()


async def fetch(sandbox: Sandbox, url: str) -> str:
    for _ in range(100):
        async with sandbox._connection.session().get(url) as response:
            if response.status == 200:
                return await response.text()
        await asyncio.sleep(0.2)
    raise AssertionError("the server in the sandbox did not answer")


async def test_a_snapshot_is_started_and_memory_given_back(sandbox: Sandbox) -> None:
    await sandbox.filesystem.write("/home/user/before", "saved")
    await sandbox.process.start_and_wait("sync")
    # A name that is always the same: the next run replaces it.
    snapshot = await sandbox.snapshot(name="python-sdk-test", timeout=CREATE_SECONDS)
    assert snapshot.name == "python-sdk-test"
    await sandbox.filesystem.write("/home/user/before", "changed")
    async with await Sandbox.create(from_snapshot=snapshot, timeout=CREATE_SECONDS, kill_on_close=True) as copy:
        assert await copy.filesystem.read("before") == "saved"
    assert await sandbox.filesystem.read("before") == "changed"
    given = await sandbox.deactive(timeout=CREATE_SECONDS)
    assert given.before_bytes > 0
    assert (await sandbox.process.start_and_wait("echo awake")).stdout == "awake"


async def test_create_that_is_cancelled_leaves_no_machine() -> None:
    before = {one.sandbox_id for one in await Sandbox.list()}
    work = asyncio.create_task(Sandbox.create(TEMPLATE, timeout=CREATE_SECONDS))
    await asyncio.sleep(0.3)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await work).close(kill=True)
    for _ in range(100):
        left = {one.sandbox_id for one in await Sandbox.list()} - before
        if not left:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"still there: {left}")


@pytest.mark.skipif(
    not os.environ.get("SANDBOX_TEST_CODE_INTERPRETER"),
    reason="SANDBOX_TEST_CODE_INTERPRETER names no template with a Jupyter server",
)
async def test_cells_of_code() -> None:
    template = os.environ["SANDBOX_TEST_CODE_INTERPRETER"]
    async with await CodeInterpreter.create(template, timeout=CREATE_SECONDS, kill_on_close=True) as interpreter:
        notebook = interpreter.notebook
        await notebook.exec_cell("x = 40", timeout=CREATE_SECONDS)
        execution = await notebook.exec_cell("print('out'); x + 2", timeout=CREATE_SECONDS)
        assert (execution.text, "".join(execution.logs.stdout), execution.error) == ("42", "out\n", None)
        failed = await notebook.exec_cell("1 / 0", timeout=CREATE_SECONDS)
        assert failed.error is not None
        assert failed.error.name == "ZeroDivisionError"
        assert "ZeroDivisionError" in failed.error.traceback
        assert len(failed.error.traceback_raw) > 1
        both = await asyncio.gather(*(notebook.exec_cell(f"print({i})", timeout=CREATE_SECONDS) for i in range(3)))
        assert ["".join(one.logs.stdout) for one in both] == ["0\n", "1\n", "2\n"]
        html = "from IPython.display import HTML, display; display(HTML('<b>x</b>'))"
        assert (await notebook.exec_cell(html, timeout=CREATE_SECONDS)).results[0].html == "<b>x</b>"
        kernel = await notebook.create_kernel("/code/work", timeout=CREATE_SECONDS)
        where = await notebook.exec_cell("import os; os.getcwd()", kernel, timeout=CREATE_SECONDS)
        assert where.text == "'/code/work'"
        assert kernel in await notebook.list_kernels()
        begun = asyncio.Event()
        sleeping = asyncio.create_task(
            notebook.exec_cell(
                "import time; print('now'); time.sleep(1000)",
                kernel,
                on_stdout=lambda _: begun.set(),
                timeout=CREATE_SECONDS,
            )
        )
        await asyncio.wait_for(begun.wait(), CREATE_SECONDS)
        await notebook.interrupt_kernel(kernel)
        interrupted = await sleeping
        assert interrupted.error is not None
        assert interrupted.error.name == "KeyboardInterrupt"
        await notebook.shutdown_kernel(kernel, timeout=CREATE_SECONDS)
        assert kernel not in await notebook.list_kernels()
        await notebook.restart_kernel(timeout=CREATE_SECONDS)
        lost = await notebook.exec_cell("x", timeout=CREATE_SECONDS)
        assert lost.error is not None
        assert lost.error.name == "NameError"
