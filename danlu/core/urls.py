"""Passwords and keys in URLs: a recipe is shared and recorded, so it may hold none."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote, urlsplit

from danlu.core.errors import UserError

#: Parameters by which signed URLs and database drivers carry a secret.
_SECRET_PARAMETER = re.compile(
    r"[?&;#](?P<name>[\w-]*(?:password|passwd|passphrase|pwd|secret|token|signature|credential|api[_-]?key|access[_-]?key)"
    r"[\w-]*|(?:\w+[_-])?(?:sig|sign|jwt|key|pass|auth))=(?P<value>[^&;#]*)",
    re.IGNORECASE,
)
_URL = re.compile(r"^(?P<scheme>[A-Za-z][\w+.:-]*)://(?P<rest>.*)$", re.DOTALL)
_URLS_IN_TEXT = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+")

#: Schemes whose whole user part is a secret when there is no password: a token.
_WEB = {"http", "https"}

#: User and password in full, where the password is a variable.
_REFERRING = re.compile(r"(?P<user>[^/?#@:]*:\$\{[A-Za-z_][A-Za-z0-9_]*\})@")

#: `${NAME}`: the value of an environment variable.
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def secret_in(url: str) -> str | None:
    """What is secret in a URL, in words, or None. `${NAME}` as a password is no secret."""
    found = _URL.match(url)
    if found is None:
        return None
    # The password itself may hold an @ or a colon.
    user, _, password = _user_info(found["rest"]).partition(":")
    if password and not REFERENCE.fullmatch(password):
        return "a password"
    if found["scheme"].lower() in _WEB and user and not password and not REFERENCE.fullmatch(user):
        return "a token"
    for parameter in _SECRET_PARAMETER.finditer(unquote(url)):
        if parameter["value"] and not REFERENCE.fullmatch(parameter["value"]):
            return f"a secret (the parameter {parameter['name']!r})"
    return None


def refuse_secret(url: str | None) -> str | None:
    """`url` as a field of a recipe may have it. Raises `ValueError` for one that holds a secret, and repeats it not."""
    secret = None if url is None else secret_in(url)
    if url is not None and secret is not None:
        raise ValueError(
            f"{without_secrets(url)!r} holds {secret}; a recipe may hold none. Put it into an environment variable and "
            "write ${NAME} in its place"
        )
    return url


def endpoint_address(value: str) -> str:
    """The base of an OpenAI-compatible endpoint's address, without /chat/completions at its end.

    Raises `ValueError` for what is no address, and for one that holds a secret, which it does not repeat.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{without_secrets(value)!r} is no address; expected one such as https://host/v1")
    if parts.username or parts.password or secret_in(value):
        raise ValueError("the address holds a user name or password; put the key into an environment variable instead")
    return value.rstrip("/").removesuffix("/chat/completions")


def without_secrets(url: str) -> str:
    """The URL without user, password and parameters, to be shown."""
    found = _URL.match(url)
    if found is None:
        return url.partition("?")[0]
    user = _user_info(found["rest"])
    rest = found["rest"][len(user) + 1 :] if user else found["rest"].removeprefix("@")
    return f"{found['scheme']}://{rest}".partition("?")[0]


def filled(url: str, field: str) -> tuple[str, set[str]]:
    """`url` with every `${NAME}` filled in, and what no message may repeat.

    In user, password and parameters a value is quoted, so that it may hold any sign. Raises `UserError` for a variable
    that is not set; `field` is what names it.
    """
    secrets: set[str] = set()

    def fill(text: str, *, quoted: bool) -> str:
        def value(name: str) -> str:
            found = os.environ.get(name)
            if found is None:
                raise UserError(f"The environment variable {name!r}, which {field} names, is not set.")
            if quoted:
                secrets.update({found, quote(found, safe="")})
            return quote(found, safe="") if quoted else found

        return REFERENCE.sub(lambda match: value(match[1]), text)

    scheme, separator, rest = url.partition("://")
    user = _user_info(rest) if separator else ""
    place, mark, parameters = rest[len(user) :].partition("?")
    whole = scheme + separator + fill(user, quoted=True) + fill(place, quoted=False)
    return whole + mark + fill(parameters, quoted=True), secrets - {""}


def told(message: str, secrets: set[str]) -> str:
    """A driver's message without URLs' secrets and without `secrets`."""
    for secret in sorted(secrets, key=len, reverse=True):
        message = message.replace(secret, "***")
    return hide_urls(message)


def hide_urls(text: str) -> str:
    """`text`, such as a driver's message, with every URL in it as `without_secrets` shows it."""
    return _URLS_IN_TEXT.sub(lambda found: without_secrets(found[0]), text)


def _user_info(rest: str) -> str:
    """What stands before the host, without its @; empty where nothing does.

    People write passwords as they are, with / ? # or @ in them, which the standard (RFC 3986) would have escaped. So
    when there is a password, it reaches up to the last @. After host:port an @ in the path has to be written %40.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before = authority.rpartition("@")[0]
    whole = _REFERRING.match(rest)
    if whole is not None:
        return whole["user"]
    in_path = rest.partition("?")[0] if before else rest
    up_to_last = in_path.rpartition("@")[0]
    if before:
        return up_to_last if ":" in before else before
    _, colon, _ = authority.partition(":")
    # A colon with an @ somewhere behind it: a password, or a port and an @ in the path, which cannot be told apart.
    return up_to_last if colon and not authority.startswith("[") else ""
