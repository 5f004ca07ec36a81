"""Everything that this package raises by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc


class SandboxException(Exception):
    """The base of nearly all of them."""


class RpcException(SandboxException):
    """The sandbox answered a JSON-RPC call with an error."""

    def __init__(self, code: int, message: str, id: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id
        self.data = data


class ProcessException(SandboxException):
    """A process could not be started, fed or killed."""


class CurrentWorkingDirectoryDoesntExistException(ProcessException):
    """A process was to be started in a directory that is not there."""


class FilesystemException(SandboxException):
    """A file operation failed."""


class TerminalException(SandboxException):
    """A terminal could not be started, fed or resized."""


class TimeoutException(SandboxException, TimeoutError):
    """Something did not happen in the time that the caller gave."""


class ConnectionLostException(SandboxException):
    """The connection to the sandbox ended while something waited on it."""


class MultipleExceptions(SandboxException):
    """Several things that ran at the same time failed; `exceptions` has each."""

    def __init__(self, message: str, exceptions: Sequence[BaseException]) -> None:
        super().__init__(message + ": " + "; ".join(str(one) for one in exceptions))
        self.exceptions = list(exceptions)


class AuthenticationException(SandboxException):
    """The API key is missing, wrong, or not allowed to do this."""


class NotFoundException(SandboxException):
    """There is no such sandbox, template or file."""


class UnsupportedRuntimeException(SandboxException):
    """The sandbox cannot do what was asked of it."""


class SandboxNotOpenException(Exception):
    """The `Sandbox` object was closed."""


class KernelException(Exception):
    """A Jupyter kernel, or the server of the kernels, failed."""


class ControlException(SandboxException, grpc.RpcError):
    """
    The backend refused, or could not be reached.

    It is a `grpc.RpcError`, too, with `code()` and `details()`, for programs that catch those.
    """

    def __init__(self, message: str, code: grpc.StatusCode, details: str) -> None:
        super().__init__(message)
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


class ControlAuthenticationException(ControlException, AuthenticationException):
    """The backend did not accept the API key."""


class ControlNotFoundException(ControlException, NotFoundException):
    """The backend knows no such sandbox or template."""


class ControlTimeoutException(ControlException, TimeoutException):
    """The backend did not answer in time."""
