"""Where a backend is and how to speak to it."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field

from .constants import DEFAULT_ADDRESS, ORCHESTRATOR_PORT, PROXY_PORT

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?")


@dataclass(frozen=True)
class Settings:
    """What every connection to one backend needs. `host` has its brackets when it is an IPv6 address."""

    host: str
    control_port: int
    proxy_port: int
    secure: bool
    control_secure: bool
    api_key: str | None = field(repr=False)


def read_settings(
    target_addr: str | None = None,
    api_key: str | None = None,
    control_port: int | None = None,
    proxy_port: int | None = None,
) -> Settings:
    """
    Takes what the caller gave, then the environment, then the defaults.

    :raises ValueError: the address is no host name and no IP address, or a port is none
    """
    secure = _flag("SANDBOX_SDK_SECURE", False)
    return Settings(
        host=check_host(target_addr or os.environ.get("SANDBOX_BACKEND_ADDR") or DEFAULT_ADDRESS),
        control_port=_port("SANDBOX_CONTROL_PORT", control_port, ORCHESTRATOR_PORT),
        proxy_port=_port("SANDBOX_PROXY_PORT", proxy_port, PROXY_PORT),
        secure=secure,
        control_secure=_flag("SANDBOX_CONTROL_SECURE", secure),
        api_key=_api_key(api_key or os.environ.get("SANDBOX_API_KEY") or None),
    )


def check_host(text: str) -> str:
    """The host as it stands in a URL. Ports have settings of their own, so none is taken here."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
        return f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        if _HOST.fullmatch(text):
            return text
    raise ValueError(
        f"{text!r} is no host name and no IP address. Give it without a scheme and without a port; "
        "ports are set by SANDBOX_CONTROL_PORT and SANDBOX_PROXY_PORT."
    )


def _port(name: str, given: int | None, default: int) -> int:
    text = str(given) if given is not None else os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(f"{name} is {text!r}, which is no port")
    return int(text)


def _flag(name: str, default: bool) -> bool:
    text = os.environ.get(name, "").strip().lower()
    return default if text == "" else text in ("1", "true", "yes", "on")


def _api_key(key: str | None) -> str | None:
    # grpc refuses such bytes with a message that does not say which value has them.
    if key is not None and not re.fullmatch(r"[\x21-\x7e]+", key):
        raise ValueError("The API key has characters that a key cannot have")
    return key
