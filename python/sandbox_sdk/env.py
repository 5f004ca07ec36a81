"""Environment variables of a sandbox and of what is started in it."""

from __future__ import annotations

from collections.abc import Mapping

from .models import EnvVars


def merge_env(*parts: Mapping[str, str] | None) -> EnvVars:
    """
    A new dictionary of all parts; of two values for a name the later counts.

    :raises ValueError: a name or a value is no string
    """
    merged: EnvVars = {}
    for part in parts:
        for name, value in (part or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise ValueError(f"The environment variable {name!r} and its value must be strings")
            merged[name] = value
    return merged
