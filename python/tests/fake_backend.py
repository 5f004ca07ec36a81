"""A backend that runs nothing: it speaks the three protocols, by a script that a test can change."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from aiohttp import BodyPartReader, WSMsgType, web
from google.protobuf import empty_pb2

from sandbox_sdk.wire import sandbox_pb2 as pb

TOKEN = "sb.fake-token"
Override = Callable[["FakeConnection", dict[str, Any]], Awaitable[bool]]


class FakeConnection:
    """One JSON-RPC connection, from the sandbox's side."""

    def __init__(self, backend: FakeBackend, ws: web.WebSocketResponse) -> None:
        self.backend = backend
        self.ws = ws
        self.subscriptions: dict[tuple[str, ...], str] = {}

    async def answer(self, request: dict[str, Any], result: Any = None) -> None:
        await self.ws.send_str(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}))

    async def refuse(self, request: dict[str, Any], message: str, code: int = -32000) -> None:
        error = {"code": code, "message": message}
        await self.ws.send_str(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}))

    async def notify(self, service: str, subscription: str, result: Any) -> None:
        params = {"subscription": subscription, "result": result}
        await self.ws.send_str(json.dumps({"jsonrpc": "2.0", "method": f"{service}_subscription", "params": params}))

    async def tell(self, service: str, name: str, id: str, result: Any) -> None:
        await self.notify(service, self.subscriptions[(service, name, id)], result)

    async def line(self, id: str, line: str, timestamp: int, error: bool = False) -> None:
        kind = "Stderr" if error else "Stdout"
        await self.tell("process", f"on{kind}", id, {"type": kind, "line": line, "timestamp": timestamp})

    async def exit(self, id: str, code: int) -> None:
        await self.tell("process", "onExit", id, code)


class FakeBackend:
    """Listens on two ports of this machine. What clients have sent is in `requests` and `metadata`."""

    def __init__(self) -> None:
        self.sandboxes: dict[str, pb.SandboxInfo] = {}
        self.deleted: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.requests: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.override: Override | None = None
        self.refuse_create: grpc.StatusCode | None = None
        self.hang_create = asyncio.Event()
        self.hang_create.set()
        self.creating = asyncio.Event()
        self.process_answers: dict[str, Any] = {}
        self.jupyter: Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]] | None = None
        self.connections = 0
        self._ids = itertools.count(1)

    async def start(self) -> None:
        app = web.Application(client_max_size=2**32)
        base = f"/{TOKEN}/49982"
        app.router.add_get(f"{base}/ws", self._ws)
        app.router.add_get(f"{base}/file", self._download)
        app.router.add_post(f"{base}/file", self._upload)
        app.router.add_post(f"{base}/process/{{verb}}", self._process)
        kernels = f"/{TOKEN}/8888/api/kernels"
        app.router.add_get(f"{kernels}/{{id}}/channels", self._channels)
        app.router.add_get(kernels, self._kernels)
        app.router.add_post(f"{kernels}/{{id}}/{{verb}}", self._kernel_verb)
        app.router.add_delete(f"{kernels}/{{id}}", self._kernel_verb)
        app.router.add_post(f"/{TOKEN}/8888/api/sessions", self._session)
        app.router.add_patch(f"/{TOKEN}/8888/api/sessions/{{id}}", self._session)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.proxy_port = self._runner.addresses[0][1]
        self._grpc = grpc.aio.server()
        methods: dict[str, tuple[Any, Any]] = {
            "Create": (self._create, pb.SandboxCreateRequest),
            "List": (self._list, pb.SandboxListRequest),
            "Delete": (self._delete, pb.SandboxDeleteRequest),
            "Search": (self._search, pb.SandboxSearchRequest),
            "Snapshot": (self._snapshot, pb.SandboxSnapshotRequest),
            "Deactive": (self._deactive, pb.SandboxDeactivateRequest),
        }
        handlers: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(
                function,
                request_deserializer=message.FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name, (function, message) in methods.items()
        }
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Sandbox", handlers),))
        self.control_port = self._grpc.add_insecure_port("127.0.0.1:0")
        await self._grpc.start()

    async def stop(self) -> None:
        self.hang_create.set()
        await self._grpc.stop(0)
        await self._runner.cleanup()

    @property
    def where(self) -> dict[str, Any]:
        """Parameters of `Sandbox.create` and `connect`."""
        return {"target_addr": "127.0.0.1", "control_port": self.control_port, "proxy_port": self.proxy_port}

    def sent(self, method: str) -> list[Any]:
        """The parameters of every call of a method so far."""
        return [one["params"] for one in self.requests if one["method"] == method]

    async def until_sent(self, method: str) -> Any:
        while not self.sent(method):
            await asyncio.sleep(0.005)
        return self.sent(method)[-1]

    async def _create(self, request: pb.SandboxCreateRequest, context: Any) -> pb.SandboxCreateResponse:
        self.metadata.append(dict(context.invocation_metadata()))
        self.creating.set()
        if self.refuse_create:
            await context.abort(self.refuse_create, "no such template")
        info = pb.SandboxInfo(
            sandboxID=request.sandboxID,
            templateID=request.templateID,
            privateIP=TOKEN,
            state=pb.RUNNING,
            metadata=dict(request.metadata),
        )
        info.startTime.GetCurrentTime()
        self.sandboxes[request.sandboxID] = info
        await self.hang_create.wait()
        return pb.SandboxCreateResponse(info=info)

    async def _list(self, _: Any, context: Any) -> pb.SandboxListResponse:
        self.metadata.append(dict(context.invocation_metadata()))
        return pb.SandboxListResponse(sandboxes=self.sandboxes.values())

    async def _delete(self, request: pb.SandboxDeleteRequest, context: Any) -> empty_pb2.Empty:
        if request.sandboxID not in self.sandboxes:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such sandbox")
        del self.sandboxes[request.sandboxID]
        self.deleted.append(request.sandboxID)
        return empty_pb2.Empty()

    async def _search(self, request: pb.SandboxSearchRequest, _: Any) -> pb.SandboxSearchResponse:
        return pb.SandboxSearchResponse(sandbox=self.sandboxes.get(request.sandboxID))

    async def _snapshot(self, request: pb.SandboxSnapshotRequest, _: Any) -> pb.SandboxSnapshotResponse:
        return pb.SandboxSnapshotResponse(path=f"/data/snapshots/{request.name or 'snapshot-1'}")

    async def _deactive(self, _: Any, __: Any) -> pb.SandboxDeactivateResponse:
        return pb.SandboxDeactivateResponse(reclaimedBytes=3, beforeBytes=10, afterBytes=7)

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        self.connections += 1
        connection = FakeConnection(self, ws)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                call = json.loads(message.data)
                self.requests.append(call)
                if not (self.override and await self.override(connection, call)):
                    await self._answer(connection, call)
        return ws

    async def _answer(self, connection: FakeConnection, call: dict[str, Any]) -> None:
        service, verb = call["method"].split("_")
        params = call.get("params", [])
        if verb == "subscribe":
            id = f"0x{next(self._ids):x}"
            connection.subscriptions[(service, *params)] = id
            await connection.answer(call, id)
        elif verb == "unsubscribe":
            await connection.answer(call, True)
        elif call["method"] == "process_start":
            await connection.answer(call, params[0])
            command = params[1]
            if command.startswith("echo "):
                await connection.line(params[0], command[5:], 1)
                await connection.exit(params[0], 0)
        elif call["method"] == "process_kill":
            await connection.answer(call)
            if ("process", "onExit", params[0]) in connection.subscriptions:
                await connection.exit(params[0], -1)
        elif call["method"] == "filesystem_readBase64":
            await connection.answer(call, base64.b64encode(self.files[params[0]]).decode())
        elif call["method"] == "filesystem_read":
            if params[0] in self.files:
                await connection.answer(call, self.files[params[0]].decode("utf-8", "replace"))
            else:
                text = f"error reading file '{params[0]}': open {params[0]}: no such file or directory"
                await connection.refuse(call, text)
        elif call["method"] == "filesystem_writeBase64":
            self.files[params[0]] = base64.b64decode(params[1])
            await connection.answer(call)
        elif call["method"] == "filesystem_write":
            self.files[params[0]] = params[1].encode()
            await connection.answer(call)
        elif call["method"] == "filesystem_list":
            await connection.answer(call, [{"name": "a", "isDir": True}, {"name": "b", "isDir": False}])
        else:
            await connection.answer(call)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = request.query["path"]
        if path == "/dev/zero":
            zeros = web.StreamResponse()
            await zeros.prepare(request)
            for _ in range(64):
                await zeros.write(bytes(2**20))
            return zeros
        if path not in self.files:
            return web.Response(status=404, text=f"File not found: {path}")
        response = web.StreamResponse(headers={"Content-Length": str(len(self.files[path]))})
        await response.prepare(request)
        content = self.files[path]
        if path.endswith(".cut"):
            await response.write(content[: len(content) // 2])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(content)
        return response

    async def _upload(self, request: web.Request) -> web.Response:
        part = await (await request.multipart()).next()
        if not isinstance(part, BodyPartReader) or part.name != "file":
            return web.Response(status=400, text="no file")
        if request.query["path"] == "/dev/null":
            while await part.read_chunk(2**16):
                pass
            return web.Response()
        self.files[request.query["path"]] = bytes(await part.read())
        return web.Response()

    async def _process(self, request: web.Request) -> web.Response:
        verb = request.match_info["verb"]
        self.requests.append({"method": verb, "params": await request.json()})
        answer = self.process_answers.get(verb)
        if callable(answer):
            answer = await answer()
        if isinstance(answer, web.Response):
            return answer
        return web.json_response(answer)

    async def _channels(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT and self.jupyter:
                await self.jupyter(ws, json.loads(message.data))
        return ws

    async def _kernels(self, _: web.Request) -> web.Response:
        return web.json_response([{"id": "k1", "name": "python3", "execution_state": "idle"}])

    async def _kernel_verb(self, request: web.Request) -> web.Response:
        verb = request.match_info.get("verb", "delete")
        self.requests.append({"method": f"kernel_{verb}", "params": [request.match_info["id"]]})
        if verb == "restart":
            return web.json_response({"id": request.match_info["id"], "name": "python3"})
        return web.Response(status=204)

    async def _session(self, request: web.Request) -> web.Response:
        self.requests.append({"method": f"session_{request.method}", "params": await request.json()})
        body = {"id": "s1", "kernel": {"id": "k2", "name": "python3"}}
        return web.json_response(body, status=201 if request.method == "POST" else 200)


async def send_kernel(ws: web.WebSocketResponse, parent: dict[str, Any], kind: str, **content: Any) -> None:
    """What a kernel says of one request."""
    header = {"msg_type": kind, "msg_id": "x"}
    await ws.send_str(json.dumps({"header": header, "parent_header": parent["header"], "content": content}))
