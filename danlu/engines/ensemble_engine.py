"""Several models that answer together: the mean of their probabilities, or of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from danlu.core.artifact import MEMBERS
from danlu.core.asked import Question
from danlu.core.errors import ModelError, UserError
from danlu.core.tasks import TASKS
from danlu.engines.base import Engine, Form, read_form
from danlu.engines.sampling import at_temperature
from danlu.engines.table import open_form


class EnsembleEngine:
    """An `Engine` over the forms in `members/0`, `members/1` and so on of its folder, each with an engine of its own.

    The members of a classifier say probabilities; their mean is divided by the ensemble's temperature, if it has one.
    """

    def __init__(self, folder: Path, form: Form, threads: int = 0) -> None:
        self.form = form
        self._members: list[Engine] = []
        for member in member_folders(folder):
            self._members.append(open_form(member, _fitting(read_form(member), form, member), threads))

    @classmethod
    def of(cls, members: Sequence[Engine], form: Form) -> EnsembleEngine:
        """One over engines that are open already."""
        ensemble = cls.__new__(cls)
        ensemble.form, ensemble._members = form, list(members)
        return ensemble

    def predict(self, asked: Sequence[Question]) -> np.ndarray:
        """See `danlu.engines.base.Engine.predict`."""
        total = np.zeros((len(asked), self.form.answers), dtype=np.float64)
        for member in self._members:
            total += member.predict(asked)
        mean: np.ndarray = (total / len(self._members)).astype(np.float32)
        return at_temperature(mean, self.form.temperature) if self.form.task == "classify" else mean

    def _refuse(self, *_arguments: object, **_named: object) -> NoReturn:
        """What language models answer, this one does not."""
        raise UserError(
            f"This is an ensemble, which answers with labels or numbers alone, on {TASKS[self.form.task].endpoint}."
        )

    score = next_token = generate = embed = fill = score_hidden = gap = _refuse

    def close(self) -> None:
        """Free the memory of all members."""
        for member in self._members:
            member.close()


def member_folders(folder: Path) -> list[Path]:
    """The folders of an ensemble's members in their order. Raises `ModelError` where there are fewer than two."""
    found = sorted((folder / MEMBERS).glob("*"), key=lambda path: int(path.name))
    if len(found) < 2:
        raise ModelError(f"The ensemble in {folder} has {len(found)} members below {MEMBERS}/. Export it again.")
    return found


def _fitting(member: Form, form: Form, folder: Path) -> Form:
    if (member.task, member.labels, member.takes) != (form.task, form.labels, form.takes):
        raise ModelError(f"The member in {folder} answers something else than its ensemble. Export it again.")
    return member
