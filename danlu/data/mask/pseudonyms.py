"""The secret key of pseudonyms, and the pseudonyms."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from danlu.core.errors import UserError
from danlu.data.mask.config import MaskConfig

#: NIST SP 800-107: a key of HMAC should not be shorter than the strength that is wanted; 128 bits.
_SHORTEST_KEY = 16
#: 48 bits: among a million different values the chance of any two with one pseudonym is 0.2 %.
_DIGITS = 12


def read_key(config: MaskConfig) -> bytes | None:
    """The secret key that the recipe names, or None where no kind becomes a pseudonym.

    Raises `UserError` where the variable or file is missing, or holds fewer than 16 bytes.
    """
    if not config.needs_key:
        return None
    how = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"
    if config.key_env:
        where = f"The environment variable {config.key_env}"
        if config.key_env not in os.environ:
            raise UserError(f"{where}, which mask.key_env names for the key of pseudonyms, is not set. {how}")
        key = os.environ[config.key_env].strip().encode()
    else:
        where = f"The file {config.key_file}"
        try:
            key = Path(config.key_file or "").read_bytes().strip()
        except OSError as error:
            raise UserError(
                f"{where}, which mask.key_file names for the key of pseudonyms, cannot be read: {error.strerror}. {how}"
            ) from error
    if len(key) < _SHORTEST_KEY:
        raise UserError(f"{where} holds a key of {len(key)} bytes; pseudonyms need {_SHORTEST_KEY} or more. {how}")
    return key


def pseudonym(kind: str, value: str, key: bytes) -> str:
    """`[KIND_xxxxxxxxxxxx]`: 12 hex digits of HMAC-SHA256 (RFC 2104) over kind and canonical value.

    The same value has the same pseudonym wherever it stands, and nobody without the key can tell which value it is.
    A shape of the value's own is not kept on purpose: an invented phone number may be somebody's.
    """
    digest = hmac.new(key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()
    return f"[{kind.upper()}_{digest[:_DIGITS]}]"


def key_mark(key: bytes) -> str:
    """Eight hex digits that tell keys apart and do not give them away: another key makes another corpus."""
    return hmac.new(key, b"danlu mask key", hashlib.sha256).hexdigest()[:8]
