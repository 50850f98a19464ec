"""API keys: who has one may ask. The key itself is shown once and kept nowhere.

A key is 256 random bits. `serve/keys.json` in the workspace (mode 0600) holds its HMAC-SHA256 under a random
secret that lies beside it; whoever reads the file cannot make the key from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from danlu.core.errors import StorageError, UserError, from_os_error
from danlu.core.store import Workspace

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
        if not path.exists():
            made = _create(path)
            if made is not None:
                return _read(path), made
        path.chmod(0o600)
    except OSError as error:
        raise from_os_error(error) or StorageError(f"Cannot keep API keys in {path}: {error.strerror}.") from error
    return _read(path), None


def path_of(workspace: Workspace) -> Path:
    """Where the digests of the keys are kept; without this file the next start makes a new key."""
    return workspace.root / "serve" / "keys.json"


def _create(path: Path) -> str | None:
    """Make a key; returns it, or None when another process was first."""
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    secret = secrets.token_bytes(_BYTES)
    text = json.dumps({"secret": secret.hex(), "hmac_sha256": [_digest(secret, key.encode()).hex()]}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".keys.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
            return key
    finally:
        beside.unlink(missing_ok=True)
    return None


def _read(path: Path) -> Keys:
    try:
        value = json.loads(path.read_bytes())
        return Keys(bytes.fromhex(value["secret"]), [bytes.fromhex(text) for text in value["hmac_sha256"]])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"The key file {path} is damaged. Remove it; the next start makes a new key.") from error


def _digest(secret: bytes, key: bytes) -> bytes:
    return hmac.new(secret, key, hashlib.sha256).digest()
