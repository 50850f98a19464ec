"""Stages of third parties: rows of the corridor that other distributions bring.

A distribution names its stages in its `pyproject.toml`; the value leads to a `danlu.core.stage.Stage`:

    [project.entry-points."danlu.stages"]
    words = "danlu_words.row:ROW"

A stage's configuration has a field for each section it is given. One that the recipe does not have is the stage's own
and stands under `extensions:`. A recipe that has no such section knows nothing of the stage, so that installing a
distribution changes no run, and nothing is looked up for a recipe without `extensions:`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from dataclasses import dataclass

from pydantic.fields import FieldInfo

from danlu.core.config import Config
from danlu.core.errors import UserError
from danlu.core.stage import Stage

GROUP = "danlu.stages"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A stage and the distribution that brings it, such as `danlu-words 1.2`."""

    stage: Stage
    distribution: str

    def own_sections(self, sections: Collection[str]) -> dict[str, FieldInfo]:
        """The sections that the stage brings itself, which are not among the recipe's `sections`."""
        fields = self.stage.config.model_fields
        return {name: field for name, field in fields.items() if name not in sections}


@dataclass(frozen=True, kw_only=True)
class Installed:
    """The stages that installed distributions bring, and what is wrong with those that cannot be used.

    A broken one matters only to a recipe that asks for a section which none of the others has.
    """

    plugins: tuple[Plugin, ...]
    broken: tuple[UserError, ...]


def installed(sections: Collection[str]) -> Installed:
    """Every stage that installed distributions bring; `sections` are the recipe's own."""
    plugins, broken = [], []
    entries = importlib.metadata.entry_points(group=GROUP)
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.value)):
        try:
            plugins.append(_load(entry, sections))
        except UserError as error:
            broken.append(error)
    return Installed(plugins=tuple(plugins), broken=tuple(broken))


def _load(entry: importlib.metadata.EntryPoint, sections: Collection[str]) -> Plugin:
    whose = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"
    try:
        stage = entry.load()
    except (Exception, SystemExit) as error:
        raise _broken(entry, whose, f"{type(error).__name__}: {error}") from error
    if not isinstance(stage, Stage):
        raise _broken(entry, whose, f"expected a danlu.core.stage.Stage, got a {type(stage).__name__}")
    if not (isinstance(stage.config, type) and issubclass(stage.config, Config)):
        raise _broken(entry, whose, "its config is not a danlu.core.config.Config")
    plugin = Plugin(stage=stage, distribution=whose)
    if not plugin.own_sections(sections):
        raise _broken(entry, whose, "it has no section of its own by which a recipe could ask for it")
    return plugin


def _broken(entry: importlib.metadata.EntryPoint, whose: str, why: str) -> UserError:
    return UserError(
        f"The stage {entry.name!r} that {whose} brings ({entry.value}) cannot be used: {why}. Update that "
        "distribution, uninstall it, or tell its authors."
    )
