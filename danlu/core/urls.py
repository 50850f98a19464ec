"""Passwords and keys in URLs: a recipe is shared and recorded, so it may hold none."""

from __future__ import annotations

import re

#: Parameters by which signed URLs and database drivers carry a secret.
_SECRET_PARAMETER = re.compile(
    r"[?&](?P<name>[\w-]*(?:password|passwd|pwd|secret|token|signature|credential|api[_-]?key|access[_-]?key)[\w-]*|sig|key)=",
    re.IGNORECASE,
)
_USER_INFO = re.compile(r"^(?P<scheme>[A-Za-z][\w+.:-]*)://(?P<user>[^/?#]*)@")

#: `${NAME}`: the value of an environment variable.
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def secret_in(url: str) -> str | None:
    """What is secret in a URL, in words, or None. `${NAME}` as a password is no secret."""
    if "://" not in url:
        return None
    found = _USER_INFO.match(url)
    if found is not None:
        # The password itself may hold an @ or a colon.
        _, colon, password = found["user"].partition(":")
        if colon and password and not REFERENCE.fullmatch(password):
            return "a password"
    parameter = _SECRET_PARAMETER.search(url)
    if parameter is not None and not REFERENCE.match(url, parameter.end()):
        return f"a secret (the parameter {parameter['name']!r})"
    return None


def without_secrets(url: str) -> str:
    """The URL without user, password and parameters, to be shown."""
    return _USER_INFO.sub(lambda found: f"{found['scheme']}://", url).partition("?")[0]
