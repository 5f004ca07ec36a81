"""Paths in the sandbox as users write them."""

from __future__ import annotations

import posixpath

from .constants import HOME


def resolve_path(path: str, cwd: str | None = None) -> str:
    """
    The path to send: `~` is the user's home, and a relative path starts at `cwd`, or at the home.

    :raises ValueError: the path is empty or has a NUL
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"{path!r} is no path")
    if path == "~" or path.startswith("~/"):
        return posixpath.join(HOME, path[2:]) if len(path) > 2 else HOME
    if path.startswith("/"):
        return path
    base = resolve_path(cwd) if cwd else HOME
    relative = path
    while relative.startswith("./"):
        relative = relative[2:].lstrip("/")
    return base if relative in (".", "") else posixpath.join(base, relative)
