"""E-mail addresses, addresses of machines, and credentials inside URLs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from danlu.data.mask.spans import Span
from danlu.data.mask.view import View

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+])(?<![A-Za-z0-9._%+]-)[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@"
    r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}[.])+[A-Za-z]{2,18}"
)
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://(?P<value>[^\s/@:]{1,64}:[^\s/@]{1,128})@(?=[A-Za-z0-9\[])")

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![0-9A-Za-z.]){_OCTET}(?:[.]{_OCTET}){{3}}(?![0-9A-Za-z])(?![.][0-9])")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{1,4})?(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9.]{6,15})?(?![0-9A-Za-z:])"
)
_VERSION_BEFORE = re.compile(
    r"(?:version|ver|v|版本|firmware|固件|build|release|chapter|section|第)[\s:：号是]{0,3}$", re.IGNORECASE
)


#: An @ with something around it: most texts with one mention someone, and a look at its neighbours saves the rest.
_AT = re.compile(r"@(?<=[^ \n@]@)[A-Za-z0-9]")
#: Two colons with at most a group of an address between them.
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")


def find_emails(view: View) -> Iterable[Span]:
    """E-mail addresses, and `user:password` in URLs."""
    return _emails(view.plain) if "@" in view.plain else ()


def _emails(plain: str) -> Iterator[Span]:
    done = 0
    if "://" in plain:
        for match in _URL.finditer(plain):
            yield Span(*match.span("value"), "url_credentials", match["value"])
            # What stands before the @ and the host behind it are no e-mail address.
            done = match.end()
    if _AT.search(plain, done):
        for match in _EMAIL.finditer(plain, done):
            yield Span(match.start(), match.end(), "email", match[0].lower())


def find_ipv4(view: View) -> Iterable[Span]:
    """Addresses of IP version 4; not those that belong to nobody (loopback, unspecified)."""
    return _machines_4(view.plain) if view.plain.count(".") >= 3 else ()


def _machines_4(plain: str) -> Iterator[Span]:
    for match in _IPV4.finditer(plain):
        if not _VERSION_BEFORE.search(plain[max(0, match.start() - 12) : match.start()]):
            yield from _machine(match)


def find_ipv6(view: View) -> Iterable[Span]:
    """Addresses of IP version 6, likewise."""
    return _machines_6(view.plain) if ":" in view.plain and _TWO_COLONS.search(view.plain) else ()


def _machines_6(plain: str) -> Iterator[Span]:
    for match in _IPV6.finditer(plain):
        # Two groups around :: are more often a name in C++ than an address.
        if match[0].count(":") >= 3 or any(sign.isdigit() for sign in match[0]):
            yield from _machine(match)


def _machine(match: re.Match[str]) -> Iterator[Span]:
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return
    if not address.is_loopback and not address.is_unspecified:
        yield Span(match.start(), match.end(), "ip", address.exploded)
