"""The operations that make new texts of old ones, as a table, and their run over training rows.

A row's children depend on the seed, the row's key, label and text, and on no other row (but for `fewer_than`, which
counts labels). The key says what the row says: an id hangs on its file's digest, and would change all children with
it. Only training rows may come here: a child of a test row would be a leak.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from danlu.core.config import Config
from danlu.core.errors import DataError
from danlu.data.augment import config as configs
from danlu.data.augment.characters import Homophones, character_noise, homophone, look_alike
from danlu.data.augment.endpoint import Generator
from danlu.data.augment.generate import prompt_for, refuse_unmasked, text_of
from danlu.data.augment.synonyms import Synonyms, read_synonyms
from danlu.data.augment.words import eda, synonym, word_drop, word_swap

Row = tuple[str, str, str]

GENERATE = "generate"
#: An operation that leaves a text as it was, or makes what a sibling is, is given this many chances.
_TRIES = 8
#: Rows that are asked about at a time; an endpoint needs enough of them to be busy.
_ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class Child:
    """A new row: the key of the row it was made of, its number among that row's children, and what made it."""

    parent: str
    number: int
    text: str
    label: str
    operation: str


def _nothing(_config: Any, _synonyms: Synonyms) -> None:
    return None


def _homophones(config: configs.Homophone, _synonyms: Synonyms) -> Homophones:
    return Homophones(config.same_tone)


def _synonyms(_config: Any, synonyms: Synonyms) -> Synonyms:
    if not synonyms:
        raise DataError(
            "The operations synonym and eda need synonyms and none came. Set augment.synonyms to a file of lines "
            "'word<TAB>synonym,synonym', or use word_drop, word_swap and character_noise, which need none."
        )
    return synonyms


@dataclass(frozen=True)
class Operation:
    """One operation: what may be asked of it, `apply(text, random, config, ready)`, and what `prepare` makes ready."""

    config: type[Config]
    apply: Callable[[str, Random, Any, Any], str]
    prepare: Callable[[Any, Synonyms], Any] = _nothing


#: By the `kind` that a recipe names.
OPERATIONS: dict[str, Operation] = {
    "character_noise": Operation(configs.CharacterNoise, character_noise),
    "homophone": Operation(configs.Homophone, homophone, _homophones),
    "look_alike": Operation(configs.LookAlike, look_alike),
    "synonym": Operation(configs.Synonym, synonym, _synonyms),
    "word_drop": Operation(configs.WordDrop, word_drop),
    "word_swap": Operation(configs.WordSwap, word_swap),
    "eda": Operation(configs.EasyDataAugmentation, eda, _synonyms),
}


@dataclass(frozen=True)
class _Ready:
    """An operation with what it was asked and what was made ready for it."""

    name: str
    weight: float
    run: Callable[[str, Random], str]


def augment(
    rows: Iterable[Row],
    config: configs.AugmentConfig,
    seed: int,
    *,
    counts: Mapping[str, int] | None = None,
    synonyms: Synonyms | None = None,
    synonyms_path: Path | None = None,
    generator: Generator | None = None,
) -> Iterator[Child]:
    """Children of training rows `(key, text, label)`; a row without a label has an empty one.

    `counts` are the training rows of each label, which `fewer_than` asks for; without them the rows are held in memory
    and counted. `synonyms` (such as `neighbours` finds) come before those of the file. `generator` writes the texts
    that `config.generate` asks for. No child equals its parent or a sibling; where no more different ones come out, a
    row has fewer. Raises `DataError` for a file of synonyms that cannot be used, for operations that lack what they
    need, and for a text with unmasked personal data that would be sent to the generator.
    """
    if config.generate is not None and generator is None:
        raise DataError("augment.generate came without a generator. Name augment.generate.endpoint in the recipe.")
    if counts is None and (config.fewer_than or (config.generate and config.generate.fewer_than)):
        rows = list(rows)
        counts = Counter(label for _, _, label in rows)
    known = read_synonyms(synonyms_path) if synonyms_path else {}
    operations = _prepare(config.operations, {**known, **(synonyms or {})})
    return _children(iter(rows), config, seed, counts or {}, operations, generator)


def _prepare(chosen: Sequence[configs.Operation], synonyms: Synonyms) -> list[_Ready]:
    ready = []
    for config in chosen:
        row = OPERATIONS[config.kind]
        made = row.prepare(config, synonyms)

        def run(text: str, random: Random, row: Operation = row, config: Any = config, made: Any = made) -> str:
            return row.apply(text, random, config, made)

        ready.append(_Ready(config.kind, config.weight, run))
    return ready


def _children(
    rows: Iterator[Row],
    config: configs.AugmentConfig,
    seed: int,
    counts: Mapping[str, int],
    operations: list[_Ready],
    generator: Generator | None,
) -> Iterator[Child]:
    while block := list(islice(rows, _ROWS_AT_A_TIME)):
        families: list[list[Child]] = []
        for row in block:
            chosen = bool(operations) and _is_chosen(row, config, seed, counts, "augment")
            families.append(list(_rewritten(row, operations, config.copies, seed)) if chosen else [])
        if config.generate is not None and generator is not None:
            _generate(block, families, config.generate, seed, counts, generator)
        for family in families:
            yield from family


def _is_chosen(row: Row, rows: configs.Selection, seed: int, counts: Mapping[str, int], purpose: str) -> bool:
    name, _, label = row
    if rows.labels and label not in rows.labels:
        return False
    if rows.fewer_than is not None and counts.get(label, 0) >= rows.fewer_than:
        return False
    return rows.share >= 1.0 or _number(seed, purpose, name) < rows.share * 2**64


def _number(*parts: object) -> int:
    """A number below 2**64 that nothing but the parts decides."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def _rewritten(row: Row, operations: list[_Ready], copies: int, seed: int) -> Iterator[Child]:
    name, text, label = row
    taken = {text, ""}
    number = 0
    for copy in range(copies):
        random = Random(_number(seed, "operation", name, copy))
        for operation in random.choices(operations, [one.weight for one in operations], k=_TRIES):
            made = operation.run(text, random)
            if made not in taken:
                taken.add(made)
                yield Child(name, number, made, label, operation.name)
                number += 1
                break


def _generate(
    block: list[Row],
    families: list[list[Child]],
    config: configs.GenerateConfig,
    seed: int,
    counts: Mapping[str, int],
    generator: Generator,
) -> None:
    """Add what the generator writes to the families of the block's rows."""
    chosen = [place for place, row in enumerate(block) if _is_chosen(row, config, seed, counts, GENERATE)]
    if not chosen:
        return
    if not config.send_unmasked:
        for place in chosen:
            refuse_unmasked(*block[place][:2])
    places = [place for place in chosen for _ in range(config.copies)]
    prompts = [prompt_for(config.prompt, text=block[place][1], label=block[place][2]) for place in places]
    # Endpoints take a seed of 32 bits, without a sign.
    seeds = [
        _number(seed, GENERATE, block[place][0], copy) % 2**31 for place in chosen for copy in range(config.copies)
    ]
    for place, answer in zip(places, generator(prompts, seeds), strict=True):
        name, text, label = block[place]
        made = text_of(answer)
        family = families[place]
        if made and made != text and all(made != child.text for child in family):
            family.append(Child(name, len(family), made, label, GENERATE))
