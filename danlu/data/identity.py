"""The names under which subjects and conversations are kept: keyed hashes, so that nobody can find a person by trying.

A bare hash of a phone number is no secret: all numbers are tried in a minute. The key is 256 random bits that each
workspace makes for itself on first use (`keys/identity`, mode 0600), or what an environment variable holds. It is in
no artifact and no log; these have its mark, eight digits that tell one key from another.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.errors import StorageError, UserError, from_os_error
from danlu.core.resource import Site
from danlu.core.store import sync, write_atomically
from danlu.data.config import IdentityKeyConfig

_BYTES = 32
#: NIST SP 800-107: a key of HMAC should not be shorter than the strength that is wanted; 128 bits.
_SHORTEST = 16
_DIGITS = 16
_MARK_DIGITS = 8


@dataclass(frozen=True, repr=False)
class IdentityKey:
    """A secret, and what is named by it. Its `repr` does not tell it."""

    secret: bytes

    def name(self, value: str) -> str:
        """The name of a subject or conversation: 16 hex digits of HMAC-SHA256 (RFC 2104), the same for the same id."""
        return hmac.new(self.secret, value.strip().encode("utf-8"), hashlib.sha256).hexdigest()[:_DIGITS]

    @property
    def mark(self) -> str:
        """Eight hex digits that tell keys apart and do not give them away."""
        return hmac.new(self.secret, b"danlu identity key", hashlib.sha256).hexdigest()[:_MARK_DIGITS]


def folder_of(workspace: Path) -> Path:
    """Where a workspace keeps its key, and the marks of the keys that it has used."""
    return workspace / "keys"


def resolve(resource: IdentityKeyConfig, site: Site) -> Path:
    """The file with the mark of the key that the recipe means; a workspace without a key gets one.

    The mark, not the key, is what fingerprints cover: another key makes other artifacts, and none tells it. Raises
    `UserError` as `read_key` does, `StorageError` where nothing can be written.
    """
    if site.workspace is None:
        raise UserError("The names of subjects need a workspace for their key, and there is none here.")
    folder = folder_of(site.workspace)
    try:
        if resource.env is None:
            _make(folder / "identity")
        mark = read_key(folder, resource.env).mark
        path = folder / f"identity-{mark}"
        if not path.is_file():
            write_atomically(path, f"{mark}\n")
    except OSError as error:
        raise from_os_error(error) or StorageError(f"Cannot keep a key in {folder}: {error.strerror}.") from error
    return path


def read_key(folder: Path, env: str | None = None) -> IdentityKey:
    """The key in `folder`, or that of the environment variable `env`.

    Raises `UserError` where there is none, or fewer than 16 bytes. No key is made here: another one finds nobody.
    """
    if env is not None:
        where, value = f"The environment variable {env} (data.identity_key.env)", os.environ.get(env, "").strip()
        how = "Set it to the key that all your machines use (python -c 'import secrets; print(secrets.token_hex())')."
        secret = value.encode()
    else:
        path = folder / "identity"
        where = f"The key file {path}"
        how = (
            "Put back a copy of it. Without one, remove the file: the next run makes a new key and new corpora, and "
            "subjects in earlier ones can no longer be looked for."
        )
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            secret = b""
        except (OSError, ValueError) as error:
            raise UserError(f"{where} is damaged or cannot be read ({type(error).__name__}). {how}") from None
    if len(secret) < _SHORTEST:
        raise UserError(f"{where} holds {len(secret)} bytes; {_SHORTEST} or more were expected. {how}")
    return IdentityKey(secret)


def _make(path: Path) -> None:
    """Make a key where there is none. The lock keeps two first runs apart; an empty file is of one that was killed."""
    if path.exists() and path.stat().st_size:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.read(1):
            return
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{secrets.token_bytes(_BYTES).hex()}\n")
        file.flush()
        os.fsync(file.fileno())
    sync(path.parent)


def key_of(said: dict[str, Any] | None, folder: Path) -> IdentityKey | None:
    """The key that an artifact's card speaks of (`{"mark": ..., "env": ...}`), if it is the one that is here."""
    if said is None:
        return None
    try:
        key = read_key(folder, said["env"])
    except UserError:
        return None
    return key if key.mark == said["mark"] else None
