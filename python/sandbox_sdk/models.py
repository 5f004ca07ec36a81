"""Plain values that the interface takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

EnvVars = dict[str, str]

STATES = ("unspecified", "invalid", "running", "stop", "cleaning", "snapshotting", "orphan")


@dataclass(frozen=True)
class RunningSandbox:
    """One sandbox as the backend lists it."""

    sandbox_id: str
    template_id: str
    started_at: datetime | None
    """In UTC."""
    metadata: dict[str, str] = field(default_factory=dict)
    state: str = "running"
    """One of `STATES`."""
    private_ip: str = field(default="", repr=False)
    """What stands for the sandbox in a URL. Whoever has it can use the sandbox."""
    kernel_version: str = ""
    enable_diff_snapshots: bool = False
    pid: int | None = None
    network_index: int | None = None

    @classmethod
    def from_message(cls, info: Any) -> RunningSandbox:
        started = info.startTime.ToDatetime(tzinfo=timezone.utc) if info.HasField("startTime") else None
        return cls(
            sandbox_id=info.sandboxID,
            template_id=info.templateID,
            started_at=started,
            metadata=dict(info.metadata),
            state=STATES[info.state] if 0 <= info.state < len(STATES) else "unspecified",
            private_ip=info.privateIP,
            kernel_version=info.kernelVersion,
            enable_diff_snapshots=info.enableDiffSnapshots,
            pid=info.pid if info.HasField("pid") else None,
            network_index=info.networkIdx if info.HasField("networkIdx") else None,
        )


@dataclass(frozen=True)
class Snapshot:
    """A saved state of a sandbox, from which others are started."""

    path: str
    """Where the backend keeps it, on its own disk."""
    name: str
    """What `Sandbox.create` takes as `template` or `from_snapshot`."""


@dataclass(frozen=True)
class Deactivation:
    """Memory of a sandbox on the host, in bytes. All three are 0 when the backend does not tell."""

    reclaimed_bytes: int
    before_bytes: int
    after_bytes: int


@dataclass(frozen=True)
class OpenPort:
    """A TCP socket in the sandbox."""

    ip: str
    port: int
    state: str
    """`LISTEN`, `ESTABLISHED` and so on."""


@dataclass(frozen=True)
class ProcessMessage:
    """A line of output."""

    line: str
    timestamp: int
    """Nanoseconds since 1970, by the clock of the sandbox."""
    error: bool = False
    """It was written to stderr."""

    def __str__(self) -> str:
        return self.line
