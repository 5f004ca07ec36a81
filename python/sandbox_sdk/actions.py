"""Named functions that belong to a sandbox, for programs that let a model choose among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Action = Callable[..., Any]
"""Called with the sandbox and a dictionary of arguments."""

A = TypeVar("A", bound="Actions")


class Actions:
    """The actions of one sandbox."""

    def __init__(self) -> None:
        self._actions: dict[str, Action] = {}

    @property
    def actions(self) -> dict[str, Action]:
        """A copy of all of them, by name."""
        return dict(self._actions)

    def add_action(self: A, action: Action, name: str | None = None) -> A:
        """Adds a function under its own name, or another. :raises ValueError: it has none"""
        key = name or getattr(action, "__name__", "")
        if not key or key == "<lambda>":
            raise ValueError("This function has no name; give one")
        self._actions[key] = action
        return self

    def remove_action(self: A, name: str) -> A:
        """:raises KeyError: there is none of this name"""
        del self._actions[name]
        return self

    def action(self, name: str | None = None) -> Callable[[Action], Action]:
        """A decorator that adds the function below it."""

        def add(function: Action) -> Action:
            self.add_action(function, name)
            return function

        return add
