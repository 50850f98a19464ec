"""What a model for classify, tag or regress is asked: a text, and where its recipe says so what stands beside it.

A recipe with `data.pair` asks about two texts together, one with `data.columns` about numbers and categories too. Where
a text is all there is, a plain string is the question: `Question` is either.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: A cell beside a text: a number, a category's value, or None where it is missing.
Cell = float | str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One question. `pair`: the second text, which belongs to `text`; `columns`: the cells beside them, by name.

    A column that is not among `columns` is missing, as one whose cell is None.
    """

    text: str
    pair: str | None = None
    columns: Mapping[str, Cell] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """Both texts, or the one."""
        return (self.text,) if self.pair is None else (self.text, self.pair)


#: What an engine is asked: a text alone, or all that its model takes.
Question = str | Asked


def as_asked(question: Question) -> Asked:
    """The same, as a value whose parts have names."""
    return Asked(text=question) if isinstance(question, str) else question


def question(text: str, pair: str | None, columns: Mapping[str, Cell] | None) -> Question:
    """A question of these parts; a plain string where the text stands alone."""
    return text if pair is None and columns is None else Asked(text=text, pair=pair, columns=columns)


def text_of(question: Question) -> str:
    """The text of a question, the first of a pair."""
    return question if isinstance(question, str) else question.text


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why a question cannot be answered: `part` of it is wrong ("pair" or "columns"); `why` tells people."""

    part: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Takes:
    """What a model is asked beside a text. `pair`: a second one; `numeric` and `categorical`: columns, in order."""

    pair: bool = False
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns, the numbers first."""
        return (*self.numeric, *self.categorical)

    @property
    def text_alone(self) -> bool:
        """Whether a question is a text and nothing else."""
        return not self.pair and not self.columns

    def example(self, text: str) -> Question:
        """A question that holds what is taken, and no more: `text` wherever there is a text, no known cell."""
        if self.text_alone:
            return text
        return Asked(text=text, pair=text if self.pair else None, columns={} if self.columns else None)

    def as_json(self) -> dict[str, Any]:
        """As `form.json` has it; `read_takes` reads it."""
        values = asdict(self)
        return {"pair": values["pair"], "numeric": list(self.numeric), "categorical": list(self.categorical)}

    def words(self) -> str:
        """What is asked, for people: "a text, a second text (pair) and the columns amount, channel"."""
        parts = ["a text", *(["a second text (pair)"] if self.pair else [])]
        if self.columns:
            parts.append(f"the column{'s' if len(self.columns) > 1 else ''} {', '.join(self.columns)}")
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

    def refused(self, question: Question) -> Refused | None:
        """Why a model that takes this cannot answer the question; None where it can."""
        asked = as_asked(question)
        if self.pair and not (asked.pair or "").strip():
            return Refused(
                part="pair",
                why="This model answers two texts together, and the second one, the pair, is missing. Give it too.",
            )
        if not self.pair and asked.pair is not None:
            return Refused(
                part="pair",
                why=f"A pair came, but this model is asked {self.words()}; it would ignore the pair. Leave it out.",
            )
        return self._refused_columns(asked.columns)

    def _refused_columns(self, cells: Mapping[str, Cell] | None) -> Refused | None:
        if not self.columns:
            if not cells:
                return None
            why = f"Columns came, but this model is asked {self.words()}; it would ignore them. Leave them out."
            return Refused(part="columns", why=why)
        if cells is None:
            listed = ", ".join(self.columns)
            why = (
                f"This model is asked {self.words()}, and no columns came. Give them by name; one that you do not know "
                f"may be left out or null: {listed}."
            )
            return Refused(part="columns", why=why)
        wrong = [found for found in (self._wrong_cell(name, cell) for name, cell in cells.items()) if found is not None]
        return Refused(part="columns", why=wrong[0]) if wrong else None

    def _wrong_cell(self, name: str, cell: Cell) -> str | None:
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.6)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            return f"This model knows no column {name!r}; it has {', '.join(self.columns)}.{hint}"
        if cell is None:
            return None
        if name in self.numeric:
            number = isinstance(cell, (int, float)) and not isinstance(cell, bool) and math.isfinite(cell)
            return None if number else f"The column {name!r} is a number such as 3.5; {cell!r} came."
        return None if isinstance(cell, str) else f'The column {name!r} is a word such as "app"; {cell!r} came.'


#: A question is a text and nothing else.
TEXT_ALONE = Takes()


def read_takes(values: Mapping[str, Any] | None) -> Takes:
    """What `Takes.as_json` wrote; a text alone where nothing was written."""
    if not values:
        return TEXT_ALONE
    return Takes(
        pair=bool(values["pair"]),
        numeric=tuple(map(str, values["numeric"])),
        categorical=tuple(map(str, values["categorical"])),
    )
