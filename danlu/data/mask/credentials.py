"""Secrets: keys that their prefix gives away, and what stands after words such as api_key, token or 密码."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from danlu.data.mask.lexicons import words
from danlu.data.mask.spans import Span
from danlu.data.mask.view import View, holds

#: How the issuers say that their keys begin: AWS, GitHub, GitLab, Slack, Google, OpenAI and those who took its form,
#: Stripe, Hugging Face, npm, PyPI, SendGrid, Alibaba Cloud, Tencent Cloud; JSON Web Tokens (RFC 7519).
_PREFIXES = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    r"gh[pousr]_[A-Za-z0-9]{30,255}",
    r"github_pat_[A-Za-z0-9_]{22,255}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"sk-[A-Za-z0-9_-]{20,}",
    r"[spr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"SG[.][A-Za-z0-9_-]{16,}[.][A-Za-z0-9_-]{16,}",
    r"LTAI[A-Za-z0-9]{12,26}",
    r"AKID[A-Za-z0-9]{24,40}",
    r"eyJ[A-Za-z0-9_-]{8,}[.]eyJ[A-Za-z0-9_-]{4,}[.][A-Za-z0-9_-]{8,}",
)
_KNOWN = re.compile(rf"(?<![A-Za-z0-9_])(?<![A-Za-z0-9_]-)(?:{'|'.join(_PREFIXES)})")
#: Cheap looks for parts of those: some need a sign that few texts have, and the others share what is rare.
_WITH_UNDERSCORE = tuple(words("ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ k_live_ k_test_ hf_ npm_"))
_WITH_DASH = tuple(words("glpat- xox sk- pypi-"))
_OTHERS = tuple(words("IA ACCA AI KID SG. eyJ"))
_KEY_BEGINS = re.compile(r"-----BEGIN (?P<what>[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?)-----")

_SAID = r"(?P<quote>[\"'“”‘’`]?)(?:[ ]{0,3}(?:[:=：]{1,2}|=>|->|是|为|is\b|was\b)[ ]{0,3}|[ ]{1,2})[\"'“”‘’`]?"
_KEY = re.compile(
    r"(?:api[ _-]?key|app[ _-]?key|access[ _-]?key(?:[ _-]?(?:id|secret))?|secret(?:[ _-]?(?:access)?[ _-]?key)?"
    r"|client[ _-]?secret"
    r"|app[ _-]?secret|token|bearer|密钥|秘钥|令牌|私钥)" + _SAID + r"(?P<value>[A-Za-z0-9+/=_.~-]{16,512})",
    re.IGNORECASE,
)
_PASSWORD = re.compile(
    r"(?:pass[ _-]?word|passwd|passcode|passphrase|\bpwd|\bpin(?:[ ]?code)?\b|密码|口令)(?:[ ]?(?:for"
    r"|of)[ ][a-z]{2,12}[ ](?=is))?"
    r"[\"'“”‘’`]?[ ]{0,3}(?:[:=：]{1,2}|=>|是|为|is\b|was\b)[ ]{0,3}[\"'“‘`]?"
    r"(?P<value>[A-Za-z0-9!#$%&*+./<=>?@^_~|\\-]{4,64})",
    re.IGNORECASE,
)
#: Cheap looks before the two expressions above: parts of words, and what of those with it counts.
_PARTS = ("pass", "pin", "key", "token", "secret", "pwd", "bearer")
_WORDS = (" key", "_key", "-key", "ikey", "skey", "pkey", "token", "secret", "bearer", "钥", "令牌")
_PASSWORD_WORDS = (
    *("password", "passwd", "passcode", "passphrase", "pass word", "pwd", "密码", "口令"),
    *("pin:", "pin is", "pin code", "pin =", "pin was"),
)
_HAN_WORDS = ("钥", "令牌", "密码", "口令")
_LOWEST_ENTROPY = 3.0


def find_known(view: View) -> Iterable[Span]:
    """Keys that begin as their issuers say."""
    plain = view.plain
    if (
        ("_" in plain and holds(plain, _WITH_UNDERSCORE))
        or ("-" in plain and holds(plain, _WITH_DASH))
        or holds(plain, _OTHERS)
    ):
        return [Span(match.start(), match.end(), "secret", match[0]) for match in _KNOWN.finditer(plain)]
    return ()


def find_said(view: View) -> Iterable[Span]:
    """Private key blocks, and keys, tokens and passwords that the words before them announce."""
    low = view.low
    return _said(view) if holds(low, _PARTS) or (not low.isascii() and holds(low, _HAN_WORDS)) else ()


def _said(view: View) -> Iterator[Span]:
    plain = view.plain
    if "PRIVATE KEY" in plain:
        yield from _private_keys(plain)
    if holds(view.low, _WORDS):
        for match in _KEY.finditer(plain):
            if _is_random(match["value"]):
                yield Span(*match.span("value"), "secret", match["value"])
    if holds(view.low, _PASSWORD_WORDS):
        for match in _PASSWORD.finditer(plain):
            start, end = match.span("value")
            value = match["value"].rstrip(".,?")
            if _is_password(value):
                yield Span(start, end - (len(match["value"]) - len(value)), "secret", value)


def _private_keys(plain: str) -> Iterator[Span]:
    """Blocks of private keys as RFC 7468 frames them; one without an end reaches to the end of the text."""
    done = 0
    while begins := _KEY_BEGINS.search(plain, done):
        last = f"-----END {begins['what']}-----"
        place = plain.find(last, begins.end())
        done = len(plain) if place < 0 else place + len(last)
        yield Span(begins.start(), done, "secret", plain[begins.start() : done])


def _is_random(value: str) -> bool:
    """Whether a value is drawn rather than written: several classes of signs, and Shannon entropy, in bits a sign."""
    classes = sum(any(check(sign) for sign in value) for check in (str.isdigit, str.isupper, str.islower))
    shares = [count / len(value) for count in Counter(value).values()]
    return classes >= 2 and -sum(share * math.log2(share) for share in shares) >= _LOWEST_ENTROPY


def _is_password(value: str) -> bool:
    return len(value) >= 4 and (any(map(str.isdigit, value)) or any(sign in "!#$%&*@^~_" for sign in value[:-1]))
