"""Serves a released model over HTTP until it is asked to stop."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn

from danlu.core.errors import UserError
from danlu.core.machine import this_machine
from danlu.core.store import Workspace
from danlu.engines.table import load as load_engine
from danlu.release.registry import Registry
from danlu.serve.app import create_app
from danlu.serve.config import ServeConfig
from danlu.serve.keys import Keys, open_keys, path_of
from danlu.serve.live import Live

_BACKLOG = 2048
_GRACE_SECONDS = 30
_KEEP_ALIVE_SECONDS = 30


def serve(
    name: str,
    workspace: Workspace,
    config: ServeConfig,
    version: str = "champion",
    say: Callable[[str], None] = print,
) -> None:
    """Answer for the model `name` until SIGINT or SIGTERM; what is under way is answered first.

    `version` is "champion" or "candidate", which are followed as they move, or a number, which is pinned. `say`
    gets the lines for people: the address, on the first start the API key, which is shown only then, and the end.
    Raises `UserError` when there is no such version, it cannot be loaded, or the port is taken.
    """
    with listen(config.host, config.port) as listening:
        live = Live(
            Registry(workspace, name), config, wanted=version, load=partial(load_engine, threads=this_machine().cores)
        )
        keys = _keys(workspace, config, say)
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        say(f"Serving {name} version {live.current.version.number} on http://{shown}:{port} (docs at /docs)")
        if not _is_loopback(host):
            say(_open_to_others(host, keys))
        _log_to_standard_error()
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(live, config, keys),
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        with _signals_end_in_order():
            server.run(sockets=[listening])
        say(f"Stopped serving {name}.")


@contextlib.contextmanager
def _signals_end_in_order() -> Iterator[None]:
    """Uvicorn raises the signal that stopped it once more when it is done; after an orderly end nobody needs it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; `port` 0 takes a free one. Raises `UserError` where that is not possible."""
    try:
        found = socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)
        return _listen_on(found[0])
    except socket.gaierror as error:
        raise UserError(f"Cannot listen on {host!r}: {error.strerror}. Use an address of this machine.") from error
    except OSError as error:
        why = {
            errno.EADDRINUSE: f"Port {port} is taken on {host}. Stop what uses it, or take another (0: any free one).",
            errno.EACCES: f"Port {port} needs more rights; take one above 1023.",
            errno.EADDRNOTAVAIL: f"{host} is no address of this machine; 127.0.0.1 always is.",
        }
        raise UserError(why.get(error.errno or 0, f"Cannot listen on {host}:{port}: {error.strerror}.")) from error


def _listen_on(where: tuple[Any, ...]) -> socket.socket:
    """A listening socket for one answer of `getaddrinfo`.

    Not `socket.create_server`: its sockets do not say that they speak TCP, so asyncio leaves Nagle's algorithm on
    and every answer on a kept connection waits 40 ms for an acknowledgement.
    """
    family, kind, protocol, _, address = where
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _keys(workspace: Workspace, config: ServeConfig, say: Callable[[str], None]) -> Keys | None:
    if not config.keys:
        return None
    keys, made = open_keys(workspace)
    if made is not None:
        say(f"API key, shown only this once: {made}")
        say(f"Send it as the header 'Authorization: Bearer KEY'. To replace it, remove {path_of(workspace)}.")
    return keys


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _open_to_others(host: str, keys: Keys | None) -> str:
    if keys is None:
        return f"WARNING: {host} can be reached from other machines and no key is asked for: anyone can use the model."
    return f"Note: {host} can be reached from other machines, without TLS; put a proxy with TLS before it."


def _log_to_standard_error() -> None:
    log = logging.getLogger("danlu.serve")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
