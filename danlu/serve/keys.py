"""API keys: who has one may ask. The key itself is shown once and kept nowhere.

A key is 256 random bits. `serve/keys.json` in the workspace (mode 0600) holds its HMAC-SHA256 under a random
secret that lies beside it; whoever reads the file cannot make the key from it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from danlu.core.errors import StorageError, UserError, from_os_error
from danlu.core.store import Workspace

log = logging.getLogger("danlu.serve")

_PREFIX = "danlu-"
_BYTES = 32


class Keys:
    """The keys that a workspace accepts."""

    def __init__(self, secret: bytes, digests: Sequence[bytes]) -> None:
        self._secret = secret
        self._digests = tuple(digests)

    def accepts(self, key: bytes) -> bool:
        """Whether `key` is one of them; takes as long for a wrong key as for a right one."""
        presented = _digest(self._secret, key)
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(presented, digest)
        return found


def open_keys(workspace: Workspace) -> tuple[Keys, str | None]:
    """The workspace's keys, and the key in clear when this call made the first one, else None.

    Raises `UserError` when the file is damaged, `StorageError` when it cannot be written.
    """
    path = path_of(workspace)
    try:
        made = None if path.exists() and path.stat().st_size else _create(path)
        _close_to_others(path)
        return _read(path), made
    except OSError as error:
        raise from_os_error(error) or StorageError(f"Cannot keep API keys in {path}: {error.strerror}.") from error


def path_of(workspace: Workspace) -> Path:
    """Where the digests of the keys are kept; without this file the next start makes a new key."""
    return workspace.root / "serve" / "keys.json"


def _create(path: Path) -> str | None:
    """Make a key; returns it, or None when another process was first.

    The lock keeps two first starts apart. A start that was killed before it wrote leaves an empty file, which the
    next one fills.
    """
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    secret = secrets.token_bytes(_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.read(1):
            return None
        _close_to_others(path)
        json.dump({"secret": secret.hex(), "hmac_sha256": [_digest(secret, key.encode()).hex()]}, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def _close_to_others(path: Path) -> None:
    """Take the file from other users of the machine; a warning where that cannot be done."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return
    try:
        path.chmod(0o600)
    except OSError as error:
        log.warning("Other users may be able to read %s (mode %o), and it stays so: %s.", path, mode, error.strerror)


def _read(path: Path) -> Keys:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        text = file.read()
    try:
        value = json.loads(text)
        return Keys(bytes.fromhex(value["secret"]), [bytes.fromhex(text) for text in value["hmac_sha256"]])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"The key file {path} is damaged. Remove it; the next start makes a new key.") from error


def _digest(secret: bytes, key: bytes) -> bytes:
    return hmac.new(secret, key, hashlib.sha256).digest()
