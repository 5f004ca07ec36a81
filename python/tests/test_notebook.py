"""Cells in Jupyter kernels, against a fake server of kernels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from fake_backend import FakeBackend, send_kernel

from sandbox_sdk import KernelException, ProcessMessage, TimeoutException
from sandbox_sdk.code_interpreter import CodeInterpreter, Result


@pytest_asyncio.fixture
async def interpreter(backend: FakeBackend) -> AsyncIterator[CodeInterpreter]:
    backend.files["/home/user/.jupyter/kernel_id"] = b"k1\n"
    backend.jupyter = run
    async with await CodeInterpreter.create(**backend.where) as interpreter:
        yield interpreter


async def end(ws: web.WebSocketResponse, request: dict[str, Any], status: str = "ok") -> None:
    await send_kernel(ws, request, "execute_reply", status=status, execution_count=1)
    await send_kernel(ws, request, "status", execution_state="idle")


async def run(ws: web.WebSocketResponse, request: dict[str, Any]) -> None:
    code = request["content"]["code"]
    await send_kernel(ws, request, "status", execution_state="busy")
    await send_kernel(ws, request, "execute_input", execution_count=1, code=code)
    if code == "hang":
        return
    if code == "rich":
        await ws.send_str("{ no JSON")
        await ws.send_str('{"header": 3}')
        await send_kernel(ws, request, "stream", name="stdout", text="out\n")
        await send_kernel(ws, request, "stream", name="stderr", text="err\n")
        await send_kernel(ws, request, "stream", nonsense=True)
        data = {"image/png": "iVBO", "text/plain": "<Figure>", "application/x": {"a": 1}}
        await send_kernel(ws, request, "display_data", data=data)
        await send_kernel(ws, request, "execute_result", data={"text/plain": ["4", "2"], "application/json": [1]})
    if code == "fail":
        trace = ["line one", "line two"]
        await send_kernel(ws, request, "error", ename="ValueError", evalue="no", traceback=trace)
        await end(ws, request, "error")
    elif code == "abort":
        await end(ws, request, "aborted")
    elif code == "late output":
        await send_kernel(ws, request, "execute_reply", status="ok", execution_count=1)
        await send_kernel(ws, request, "stream", name="stdout", text="late")
        await send_kernel(ws, request, "status", execution_state="idle")
    elif code == "die":
        await send_kernel(ws, {"header": {}}, "status", execution_state="restarting")
    elif code == "drop":
        await ws.close()
    else:
        await end(ws, request)


async def test_a_rich_cell(interpreter: CodeInterpreter) -> None:
    seen: list[Any] = []

    async def on_stderr(message: ProcessMessage) -> None:
        seen.append((message.line, message.error))

    execution = await interpreter.notebook.exec_cell(
        "rich", on_stdout=lambda message: seen.append(message.line), on_stderr=on_stderr, on_result=seen.append
    )
    assert execution.text == "42"
    assert execution.execution_count == 1
    assert (execution.logs.stdout, execution.logs.stderr) == (["out\n"], ["err\n"])
    figure, value = execution.results
    assert (figure.png, figure["application/x"]) == ("iVBO", {"a": 1})
    assert figure.formats() == ["text", "png", "application/x"]
    assert (value.json, value.is_main_result) == ([1], True)
    assert seen == ["out\n", ("err\n", True), figure, value]
    parsed = json.loads(execution.to_json())
    assert parsed["results"][0] == {
        "text": "<Figure>",
        "png": "iVBO",
        "extra": {"application/x": {"a": 1}},
        "is_main_result": False,
    }
    assert parsed["error"] is None


async def test_an_exception_has_its_traceback(interpreter: CodeInterpreter) -> None:
    execution = await interpreter.notebook.exec_cell("fail")
    assert execution.error is not None
    assert (execution.error.name, execution.error.value) == ("ValueError", "no")
    assert execution.error.traceback == "line one\nline two"
    assert json.loads(execution.to_json())["error"]["traceback_raw"] == ["line one", "line two"]
    aborted = await interpreter.notebook.exec_cell("abort")
    assert aborted.error is not None
    assert aborted.error.name == "Aborted"


async def test_output_after_the_reply_is_kept(interpreter: CodeInterpreter) -> None:
    assert (await interpreter.notebook.exec_cell("late output")).logs.stdout == ["late"]


async def test_cells_at_the_same_time_are_told_apart(backend: FakeBackend, interpreter: CodeInterpreter) -> None:
    requests: list[dict[str, Any]] = []

    async def together(ws: web.WebSocketResponse, request: dict[str, Any]) -> None:
        requests.append(request)
        if len(requests) == 3:
            for one in reversed(requests):
                await send_kernel(ws, one, "stream", name="stdout", text=one["content"]["code"])
            for one in requests:
                await end(ws, one)

    backend.jupyter = together
    executions = await asyncio.gather(*(interpreter.notebook.exec_cell(code) for code in "abc"))
    assert [one.logs.stdout for one in executions] == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize("code", ["die", "drop"])
async def test_the_end_of_a_kernel_or_a_connection_fails_the_cell(interpreter: CodeInterpreter, code: str) -> None:
    with pytest.raises(KernelException):
        await interpreter.notebook.exec_cell(code, timeout=None)
    assert (await interpreter.notebook.exec_cell("fine")).error is None


async def test_a_cell_that_takes_too_long(interpreter: CodeInterpreter) -> None:
    with pytest.raises(TimeoutException):
        await interpreter.notebook.exec_cell("hang", timeout=0.2)
    assert (await interpreter.notebook.exec_cell("fine")).error is None


@pytest.mark.parametrize("verb", ["restart", "shutdown", "close"])
async def test_cells_end_with_the_kernel(backend: FakeBackend, interpreter: CodeInterpreter, verb: str) -> None:
    waiting = asyncio.create_task(interpreter.notebook.exec_cell("hang", timeout=None))
    while not interpreter.notebook._channels:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    if verb == "restart":
        await interpreter.notebook.restart_kernel()
    elif verb == "shutdown":
        await interpreter.notebook.shutdown_kernel("k1")
    else:
        await interpreter.close()
    with pytest.raises(KernelException):
        await waiting
    if verb != "close":
        await interpreter.notebook.interrupt_kernel()
        assert backend.sent("kernel_interrupt") == [["k1"]]


async def test_kernels_are_made_and_listed(backend: FakeBackend, interpreter: CodeInterpreter) -> None:
    kernel = await interpreter.notebook.create_kernel("/code", "python3")
    assert (kernel, kernel.kernel_id, kernel.name) == ("k2", "k2", "python3")
    assert backend.sent("session_POST")[0]["kernel"] == {"name": "python3"}
    assert backend.sent("session_PATCH") == [{"path": "/code"}]
    assert (await interpreter.notebook.exec_cell("rich", kernel)).text == "42"
    [listed] = await interpreter.notebook.list_kernels()
    assert (listed, listed.name, listed.state) == ("k1", "python3", "idle")


@pytest.mark.parametrize("id", ["../../x", "a/b", "", "k\n"])
async def test_ids_that_could_leave_the_url(backend: FakeBackend, interpreter: CodeInterpreter, id: str) -> None:
    backend.files["/home/user/.jupyter/kernel_id"] = b"../x"
    with pytest.raises(KernelException, match="no id"):
        await interpreter.notebook.exec_cell("x", id)


async def test_a_sandbox_without_a_kernel_says_so(backend: FakeBackend, interpreter: CodeInterpreter) -> None:
    del backend.files["/home/user/.jupyter/kernel_id"]
    with pytest.raises(KernelException, match="create_kernel"):
        await interpreter.notebook.exec_cell("x")


def test_a_result_that_is_nonsense() -> None:
    assert Result.from_bundle("nonsense", False).formats() == []
