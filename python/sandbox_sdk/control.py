"""The control plane: gRPC calls that make, find, save and end sandboxes."""

from __future__ import annotations

from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf import empty_pb2

from .deadline import Deadline
from .exceptions import (
    ControlAuthenticationException,
    ControlException,
    ControlNotFoundException,
    ControlTimeoutException,
)
from .settings import Settings
from .wire import sandbox_pb2 as pb

# As aiohttp does: a proxy is never taken from the environment, where it would catch 127.0.0.1, too.
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 * 1024 * 1024))

_CLASSES: dict[grpc.StatusCode, type[ControlException]] = {
    grpc.StatusCode.UNAUTHENTICATED: ControlAuthenticationException,
    grpc.StatusCode.PERMISSION_DENIED: ControlAuthenticationException,
    grpc.StatusCode.NOT_FOUND: ControlNotFoundException,
    grpc.StatusCode.DEADLINE_EXCEEDED: ControlTimeoutException,
}


class Control:
    """A channel to one backend. Every call raises `ControlException` or a subclass of it."""

    def __init__(self, settings: Settings) -> None:
        self._target = f"{settings.host}:{settings.control_port}"
        self._metadata = (("x-api-key", settings.api_key),) if settings.api_key else ()
        self._channel: Any = (
            grpc.aio.secure_channel(self._target, grpc.ssl_channel_credentials(), options=_OPTIONS)
            if settings.control_secure
            else grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        )

    async def __aenter__(self) -> Control:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def create(self, request: pb.SandboxCreateRequest, deadline: Deadline) -> pb.SandboxInfo:
        answer = await self._call("Create", request, pb.SandboxCreateResponse, deadline)
        return cast(pb.SandboxCreateResponse, answer).info

    async def list(self, deadline: Deadline, running: bool = False) -> list[pb.SandboxInfo]:
        answer = await self._call("List", pb.SandboxListRequest(running=running), pb.SandboxListResponse, deadline)
        return [*cast(pb.SandboxListResponse, answer).sandboxes]

    async def search(self, sandbox_id: str, deadline: Deadline) -> pb.SandboxInfo | None:
        """None when there is no such sandbox."""
        request = pb.SandboxSearchRequest(sandboxID=sandbox_id)
        answer = cast(pb.SandboxSearchResponse, await self._call("Search", request, pb.SandboxSearchResponse, deadline))
        return answer.sandbox if answer.HasField("sandbox") else None

    async def delete(self, sandbox_id: str, deadline: Deadline) -> None:
        await self._call("Delete", pb.SandboxDeleteRequest(sandboxID=sandbox_id), empty_pb2.Empty, deadline)

    async def deactive(self, sandbox_id: str, deadline: Deadline) -> pb.SandboxDeactivateResponse:
        request = pb.SandboxDeactivateRequest(sandboxID=sandbox_id)
        answer = await self._call("Deactive", request, pb.SandboxDeactivateResponse, deadline)
        return cast(pb.SandboxDeactivateResponse, answer)

    async def snapshot(
        self, sandbox_id: str, delete: bool, name: str | None, deadline: Deadline
    ) -> pb.SandboxSnapshotResponse:
        request = pb.SandboxSnapshotRequest(sandboxID=sandbox_id, delete=delete, name=name)
        answer = await self._call("Snapshot", request, pb.SandboxSnapshotResponse, deadline)
        return cast(pb.SandboxSnapshotResponse, answer)

    async def _call(self, method: str, request: Any, response: Any, deadline: Deadline) -> Any:
        call = self._channel.unary_unary(
            f"/Sandbox/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return await call(request, timeout=deadline.left(), metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._explain(method, error) from error

    def _explain(self, method: str, error: grpc.aio.AioRpcError) -> ControlException:
        code, details = error.code(), error.details() or "no details"
        message = f"{method}: {details} ({code.name})"
        if code is grpc.StatusCode.UNAVAILABLE:
            message += f". Is a backend running at {self._target}? SANDBOX_BACKEND_ADDR says where it is."
        return _CLASSES.get(code, ControlException)(message, code, details)
