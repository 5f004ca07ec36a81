"""Fixed numbers of the protocol, and what the environment says."""

from __future__ import annotations

import os

TIMEOUT = 60.0
"""Seconds that an operation may take unless the caller says otherwise."""

ORCHESTRATOR_PORT = 5000
PROXY_PORT = 6666
ENVD_PORT = 49982
JUPYTER_PORT = 8888

WS_ROUTE = "/ws"
FILE_ROUTE = "/file"
SIMPLE_PROCESS_ROUTE = "/process"

DEFAULT_TEMPLATE = "default-sandbox"
DEFAULT_CODE_INTERPRETER_TEMPLATE = "default-code-interpreter"

HOME = "/home/user"
"""Home directory of the user that programs in a sandbox run as."""

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
"""A line of output may have 32 MiB, and JSON may need six characters for one."""

DEFAULT_ADDRESS = "127.0.0.1"
SANDBOX_BACKEND_ADDR = os.environ.get("SANDBOX_BACKEND_ADDR") or DEFAULT_ADDRESS
SANDBOX_PROXY_PORT = int(os.environ.get("SANDBOX_PROXY_PORT") or PROXY_PORT)
