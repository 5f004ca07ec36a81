"""A WebSocket server that decides over every byte, for the faults that a real one does not make."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

Script = Callable[["FakeSocket"], Awaitable[None]]


def frame(message: Any) -> bytes:
    """A text frame; a string goes as it is, anything else as JSON."""
    data = (message if isinstance(message, str) else json.dumps(message)).encode()
    assert len(data) < 65536
    length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    return b"\x81" + length + data


class FakeSocket:
    """One client, after the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def next_call(self) -> dict[str, Any]:
        """The next text frame, as JSON; pings are not answered."""
        while True:
            head, length = await self.reader.readexactly(2)
            size = length & 0x7F
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            mask = await self.reader.readexactly(4)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await self.reader.readexactly(size)))
            if head & 0x0F == 1:
                message: dict[str, Any] = json.loads(data)
                return message


async def serve(script: Script) -> tuple[asyncio.Server, str]:
    """Runs the script for each client; the second value is the URL."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = request.splitlines()
        key = next(line.split(":", 1)[1].strip() for line in lines if line.lower().startswith("sec-websocket-key"))
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        accepted = base64.b64encode(digest).decode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accepted}\r\n\r\n".encode()
        )
        try:
            await script(FakeSocket(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, f"ws://127.0.0.1:{port}/ws"
