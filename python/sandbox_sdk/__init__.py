"""Asynchronous client of a sandbox backend. Start with `Sandbox.create`."""

from .exceptions import (
    AuthenticationException,
    ConnectionLostException,
    ControlException,
    CurrentWorkingDirectoryDoesntExistException,
    FilesystemException,
    KernelException,
    MultipleExceptions,
    NotFoundException,
    ProcessException,
    RpcException,
    SandboxException,
    SandboxNotOpenException,
    TerminalException,
    TimeoutException,
    UnsupportedRuntimeException,
)
from .filesystem import FileInfo, FilesystemManager
from .models import Deactivation, EnvVars, OpenPort, ProcessMessage, RunningSandbox, Snapshot
from .process import Process, ProcessManager
from .process_output import ProcessOutput
from .sandbox import Sandbox
from .simple_process import SimpleProcess, SimpleProcessManager, SimpleProcessResult
from .terminal import Terminal, TerminalManager, TerminalOutput
from .watch import FilesystemEvent, FilesystemOperation, FilesystemWatcher

__version__ = "0.1.0"

__all__ = [
    "AuthenticationException",
    "ConnectionLostException",
    "ControlException",
    "CurrentWorkingDirectoryDoesntExistException",
    "Deactivation",
    "EnvVars",
    "FileInfo",
    "FilesystemEvent",
    "FilesystemException",
    "FilesystemManager",
    "FilesystemOperation",
    "FilesystemWatcher",
    "KernelException",
    "MultipleExceptions",
    "NotFoundException",
    "OpenPort",
    "Process",
    "ProcessException",
    "ProcessManager",
    "ProcessMessage",
    "ProcessOutput",
    "RpcException",
    "RunningSandbox",
    "Sandbox",
    "SandboxException",
    "SandboxNotOpenException",
    "SimpleProcess",
    "SimpleProcessManager",
    "SimpleProcessResult",
    "Snapshot",
    "Terminal",
    "TerminalException",
    "TerminalManager",
    "TerminalOutput",
    "TimeoutException",
    "UnsupportedRuntimeException",
]
