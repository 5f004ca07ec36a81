from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fake_backend import FakeBackend

from sandbox_sdk import Sandbox


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("SANDBOX_BACKEND_ADDR"):
        return
    skip = pytest.mark.skip(reason="SANDBOX_BACKEND_ADDR is not set, so there is no backend to test with")
    for item in items:
        if "real" in item.keywords:
            item.add_marker(skip)


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[FakeBackend]:
    backend = FakeBackend()
    await backend.start()
    yield backend
    await backend.stop()


@pytest_asyncio.fixture
async def sandbox(backend: FakeBackend) -> AsyncIterator[Sandbox]:
    async with await Sandbox.create(**backend.where) as sandbox:
        yield sandbox
