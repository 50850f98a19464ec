"""Personal data becomes a token or a pseudonym, or its row goes: whole values, never parts of them.

Each recogniser is a row of `RECOGNISERS`: the kinds that it may find, and a function from a text to spans. It begins
with a cheap look, so that a text without personal data costs little. What they find together is merged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from danlu.core.errors import UserError
from danlu.data.mask import accounts, addresses, credentials, documents, names, network, numbers, spoken
from danlu.data.mask.checksums import CHECKSUMS
from danlu.data.mask.config import DEFAULT_KINDS, Kind, MaskConfig, PatternConfig
from danlu.data.mask.finders import FINDERS, Finder
from danlu.data.mask.pseudonyms import pseudonym
from danlu.data.mask.spans import Span, merge
from danlu.data.mask.view import View

#: The reason for which a row is dropped is this and the kind of what was found.
DROPPED = "personal_data:"


class Recogniser(NamedTuple):
    """The kinds that a function may find, the function, and the signs without which a text holds none of them."""

    kinds: frozenset[str]
    find: Callable[[View], Iterable[Span]]
    digits: bool
    han: bool


def _row(kinds: str, find: Callable[[View], Iterable[Span]], needs: str = "") -> Recogniser:
    return Recogniser(frozenset(kinds.split()), find, "digits" in needs, "han" in needs)


#: Where findings overlap and are equally long, the first row wins.
RECOGNISERS: tuple[Recogniser, ...] = (
    _row("email url_credentials", network.find_emails),
    _row("secret", credentials.find_known),
    _row("secret", credentials.find_said),
    _row("credit_code hong_kong_id iban macau_id passport taiwan_id travel_permit", documents.find, "digits"),
    _row("bank_card china_id phone", numbers.find, "digits"),
    _row("bank_card china_id phone", spoken.find_chinese, "han"),
    _row("bank_card china_id phone", spoken.find_english),
    _row("ip", network.find_ipv4, "digits"),
    _row("ip", network.find_ipv6),
    _row("plate", accounts.find_plates, "digits han"),
    _row("qq", accounts.find_qq, "digits"),
    _row("wechat", accounts.find_wechat),
    _row("address", addresses.find_chinese, "han"),
    _row("address", addresses.find_english, "digits"),
    _row("person", names.find_chinese, "han"),
    _row("person", names.find_transliterated, "han"),
    _row("person", names.find_english),
)
_DIGIT = re.compile("[0-9]")
_HAN = re.compile("[\u3007\u4e00-\u9fff]")


class NearMiss(NamedTuple):
    """A value that is called an identity or card number and fails its checksum: where it stood, as `Piece` says."""

    kind: str
    part: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Masked:
    """One row after masking: its parts, how many values of each kind there were, what a person should look at.

    `drop` is the reason for which the row must go, or empty; its parts are masked all the same.
    """

    parts: tuple[str, ...]
    counts: Counter[str] = field(default_factory=Counter)
    near_misses: tuple[NearMiss, ...] = ()
    drop: str = ""


class _Replacement(NamedTuple):
    start: int
    end: int
    text: str


class Masker:
    """Masks rows as one `MaskConfig` says. Made once a process; nothing changes in it afterwards, so threads share it.

    `key` is the secret of pseudonyms (`danlu.data.mask.pseudonyms.read_key`); `finders` are looked through besides
    those that the configuration names. `paths` are the files that it names, by dotted name within it. Raises
    `UserError` where pseudonyms are asked for without a key.
    """

    def __init__(
        self,
        config: MaskConfig,
        key: bytes | None = None,
        finders: Sequence[Finder] = (),
        paths: Mapping[str, Path] | None = None,
    ) -> None:
        if config.needs_key and not key:
            raise UserError(
                "Pseudonyms need a secret key. Name the environment variable or the file that holds it in mask.key_env "
                "or mask.key_file."
            )
        self._config = config
        self._key = key or b""
        wanted = frozenset(config.names)
        self._wanted = wanted
        #: The recognisers to ask, by whether a text has digits and whether it has Han characters.
        self._recognisers = {
            (digits, han): [
                row.find for row in RECOGNISERS if row.kinds & wanted and digits >= row.digits and han >= row.han
            ]
            for digits in (False, True)
            for han in (False, True)
        }
        self._patterns = [(pattern, re.compile(pattern.regex)) for pattern in config.patterns]
        made = [
            FINDERS[section.finder](section, (paths or {}).get(f"finders[{number}].model"))
            for number, section in enumerate(config.finders)
        ]
        self._finders: tuple[Finder, ...] = (*made, *finders)
        self._allowed = frozenset(_folded(value) for value in config.allow)

    def mask_parts(self, parts: Sequence[str]) -> Masked:
        """Mask the turns of one dialogue, or the one part of a plain text.

        A value that is spread over several turns goes whole: each turn that holds a piece of it gets the token.
        """
        view = View(parts)
        spans = self.find(view)
        if not spans:
            return Masked(parts=tuple(parts))
        counts: Counter[str] = Counter()
        near_misses: list[NearMiss] = []
        replaced: dict[int, list[_Replacement]] = {}
        drop = ""
        for span in spans:
            pieces = view.pieces(span.start, span.end)
            if span.near_miss:
                near_misses += [NearMiss(span.kind, *piece) for piece in pieces]
                if self._config.near_misses == "keep":
                    continue
            counts[span.kind] += 1
            if not drop and self._config.mode_of(span.kind) == "drop":
                drop = DROPPED + span.kind
            token = self._token(span)
            for piece in pieces:
                replaced.setdefault(piece.part, []).append(_Replacement(piece.start, piece.end, token))
        masked = tuple(_replace(part, replaced.get(number)) for number, part in enumerate(parts))
        return Masked(parts=masked, counts=counts, near_misses=tuple(near_misses), drop=drop)

    def find(self, view: View) -> list[Span]:
        """The values in a text, in order and without overlaps; those that the recipe allows are left out."""
        found = self._find(view)
        if not found:
            return found
        if self._config.near_misses == "keep":
            # What stays as it is covers no value that goes: your own order number may look like a card.
            near = merge(span for span in found if span.near_miss)
            sure = merge(span for span in found if not span.near_miss)
            found = [
                *sure,
                *(miss for miss in near if not any(miss.start < span.end and span.start < miss.end for span in sure)),
            ]
        return [span for span in merge(found) if not self._is_allowed(view, span)]

    def _find(self, view: View) -> list[Span]:
        plain = view.plain
        digits = _DIGIT.search(plain) is not None
        han = not plain.isascii() and _HAN.search(plain) is not None
        found: list[Span] = []
        for find in self._recognisers[digits, han]:
            found += find(view)
        if found:
            found = [span for span in found if span.kind in self._wanted]
        for pattern, compiled in self._patterns:
            found += _matches(pattern, compiled, view)
        for finder in self._finders:
            found += finder.find(plain)
        return found

    def _token(self, span: Span) -> str:
        if self._config.mode_of(span.kind) == "pseudonym":
            return pseudonym(span.kind, span.value, self._key)
        return f"[{span.kind.upper()}]"

    def _is_allowed(self, view: View, span: Span) -> bool:
        return bool(self._allowed) and _folded(view.plain[span.start : span.end]) in self._allowed


def _folded(value: str) -> str:
    return "".join(value.lower().split())


_SEPARATORS = re.compile(r"[^0-9A-Za-z]")


def _matches(pattern: PatternConfig, compiled: re.Pattern[str], view: View) -> Iterator[Span]:
    group = "value" if "value" in compiled.groupindex else 0
    check = CHECKSUMS[pattern.checksum]
    for match in compiled.finditer(view.plain):
        value = _SEPARATORS.sub("", match[group] or "")
        if value and check(value):
            yield Span(*match.span(group), pattern.name, value.upper())


def _replace(part: str, replacements: list[_Replacement] | None) -> str:
    if not replacements:
        return part
    pieces: list[str] = []
    done = 0
    for replacement in replacements:
        pieces += [part[done : replacement.start], replacement.text]
        done = replacement.end
    return "".join(pieces) + part[done:]


@lru_cache(maxsize=64)
def _simple(kinds: tuple[Kind, ...]) -> Masker:
    return Masker(MaskConfig(kinds=list(kinds)))


def mask(text: str, kinds: Iterable[Kind] = DEFAULT_KINDS) -> tuple[str, Counter[str]]:
    """`text` with each value of the `kinds` replaced by its token, and how many of each there were."""
    masked = _simple(tuple(kinds)).mask_parts((text,))
    return masked.parts[0], masked.counts
