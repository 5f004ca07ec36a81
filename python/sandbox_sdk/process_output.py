"""What a process has written, in the order of its clock."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from .models import ProcessMessage


@dataclass
class ProcessOutput:
    """Lines of both streams. `exit_code` is None while the process runs; -1 after a signal."""

    messages: list[ProcessMessage] = field(default_factory=list)
    exit_code: int | None = None
    error: bool = False
    """Something was written to stderr."""

    @property
    def stdout(self) -> str:
        return "\n".join(one.line for one in self.messages if not one.error)

    @property
    def stderr(self) -> str:
        return "\n".join(one.line for one in self.messages if one.error)

    def add(self, message: ProcessMessage) -> None:
        """Puts it where its timestamp belongs; messages of the same time stay in the order in which they came."""
        self.error = self.error or message.error
        if not self.messages or self.messages[-1].timestamp <= message.timestamp:
            self.messages.append(message)
        else:
            self.messages.insert(bisect_right(self.messages, message.timestamp, key=lambda one: one.timestamp), message)
