"""What running a cell of code gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
}


@dataclass
class Result:
    """
    One thing that a cell shows, in each of the forms that the kernel made of it.

    Pictures and PDF are base64, as the kernel sends them. `extra` has the forms of other MIME types, by type.
    """

    text: str | None = None
    html: str | None = None
    markdown: str | None = None
    svg: str | None = None
    png: str | None = None
    jpeg: str | None = None
    pdf: str | None = None
    latex: str | None = None
    json: Any = None
    javascript: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    is_main_result: bool = False
    """It is the value of the cell's last expression, and not something that was displayed on the way."""

    @classmethod
    def from_bundle(cls, bundle: Any, is_main_result: bool) -> Result:
        """Reads a MIME bundle of Jupyter."""
        result = cls(is_main_result=is_main_result)
        for kind, value in bundle.items() if isinstance(bundle, Mapping) else ():
            # Jupyter may send text as a list of lines.
            if kind != "application/json" and isinstance(value, list):
                value = "".join(map(str, value))
            if kind in _FIELDS:
                setattr(result, _FIELDS[kind], value)
            else:
                result.extra[kind] = value
        return result

    def formats(self) -> list[str]:
        """The names of the forms that it has."""
        return [name for name in _FIELDS.values() if getattr(self, name) is not None] + list(self.extra)

    def __getitem__(self, name: str) -> Any:
        return self.extra[name] if name in self.extra else getattr(self, name)

    def __str__(self) -> str:
        return self.text or f"Result({', '.join(self.formats())})"

    def to_dict(self) -> dict[str, Any]:
        """Without the forms that it does not have."""
        forms = {name: getattr(self, name) for name in _FIELDS.values() if getattr(self, name) is not None}
        return {**forms, **({"extra": self.extra} if self.extra else {}), "is_main_result": self.is_main_result}


@dataclass
class Error:
    """What ended a cell: an exception of its code."""

    name: str
    value: str
    traceback: str
    """As a terminal shows it, with its colours."""
    traceback_raw: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Logs:
    """What a cell has written, in the pieces in which it came."""

    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Execution:
    """A cell that was run."""

    results: list[Result] = field(default_factory=list)
    logs: Logs = field(default_factory=Logs)
    error: Error | None = None
    execution_count: int | None = None

    @property
    def text(self) -> str | None:
        """The value of its last expression as text, None when it has none."""
        return next((one.text for one in self.results if one.is_main_result), None)

    def to_json(self) -> str:
        return json.dumps(
            {
                "results": [one.to_dict() for one in self.results],
                "logs": asdict(self.logs),
                "error": None if self.error is None else asdict(self.error),
                "execution_count": self.execution_count,
            }
        )
