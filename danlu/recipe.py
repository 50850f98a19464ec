"""The one file a user writes. It joins every room's section; nothing else is read from anywhere.

YAML 1.2 through ruamel.yaml: `1e-5` is a number, `no` is a word, a key given twice is refused, and every error
can name its line.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, create_model, field_validator, model_validator

from danlu.compress.config import CompressConfig
from danlu.core.config import Config
from danlu.core.errors import RecipeError, first_line
from danlu.core.plugins import installed
from danlu.core.tasks import TASKS, TaskName
from danlu.core.urls import refuse_secret
from danlu.data.augment.config import AugmentConfig
from danlu.data.config import DataConfig
from danlu.evaluate.config import ChampionConfig, EvaluateConfig, SpeedConfig
from danlu.evaluate.questions.config import QuestionsConfig
from danlu.folds.config import FoldsConfig, check_folds
from danlu.learning.classic.config import check_classic, encoder_of
from danlu.plan.config import BudgetConfig, PlanConfig
from danlu.recipe_mistakes import explain, line_in
from danlu.recipe_targets import check_targets
from danlu.release.config import ReleaseConfig
from danlu.serve.config import ServeConfig
from danlu.train.config import ModelConfig, TrainConfig, check_training
from danlu.tune.config import TuneConfig, check_space

#: What to do where a setting is for another task.
_INSTEAD = {
    "data.unlabelled: keep": "Only there a row may have no label; leave it out",
    "data.balance": "Leave it out; for tag there is train.objective.positive_weights: balanced",
    "data.teacher": "Answers of other tasks are for people to give",
    "data.augment by label": "Leave out labels and fewer_than",
    "data.labels.decisions": "Correct the labels in the files",
    "train.class_weights: balanced": "Leave it out; for tag there is train.objective.positive_weights: balanced",
}

#: Settings of `train` that mean something to a model without a neural network.
HEEDED_BY_CLASSIC = ("class_weights", "seed")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _by_label(augment: AugmentConfig | None) -> bool:
    """Whether rows to be augmented are chosen by their label."""
    chosen = [] if augment is None else [rows for rows in (augment, augment.generate) if rows is not None]
    return any(rows.labels or rows.fewer_than is not None for rows in chosen)


class Extensions(Config):
    """Sections of third-party stages; what they may hold is told by the distributions that bring them."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "object"}})


class Recipe(Config):
    """Everything Danlu needs to know to walk from your data to a served model."""

    name: str = Field(description="Name of the model: small letters, digits, dot, dash, underscore; at most 64.")
    task: TaskName = Field(
        description="What the model is for: classify texts (one label each), tag them (several labels each), regress "
        "(a number each), multitask (several of these at once), generate text, embed texts for search, or fill in "
        "hidden words (an encoder for other models to start from)."
    )
    plan: PlanConfig = Field(PlanConfig(), description="How the run is planned.")
    budget: BudgetConfig = Field(BudgetConfig(), description="Caps of a run, and local prices.")
    data: DataConfig = Field(description="Where the data is and how it is cleaned and split.")
    model: ModelConfig = Field(description="The model to start from.")
    train: TrainConfig = Field(TrainConfig(), description="How to train.")
    tune: TuneConfig | None = Field(None, description="A search for better settings before training; empty is none.")
    compress: CompressConfig = Field(CompressConfig(), description="Which forms to export and serve.")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="How the evidence is gathered.")
    folds: FoldsConfig | None = Field(
        None,
        description="Cross-validation: the training once for each fold of data.split.folds, scored on rows that it has "
        "not seen; empty is none.",
    )
    champion: ChampionConfig | None = Field(
        None,
        description="A comparison with the version that is live, on the same test rows; made where a gate names the "
        "champion. Empty is none.",
    )
    questions: QuestionsConfig | None = Field(
        None,
        description="Your own questions, a file or a section: what the released form answers is held against a "
        "reference, or against phrases that an answer must, or must not, hold. For generate. Empty is none.",
    )
    speed: SpeedConfig = Field(SpeedConfig(), description="How speed is measured.")
    release: ReleaseConfig = Field(ReleaseConfig(), description="What must be true before the model may go live.")
    tracking: str | None = Field(
        None,
        description="MLflow to which runs and releases are told: sqlite:///mlflow.db beside the recipe, or the URL of "
        "a server; ${NAME} is an environment variable. Empty is none.",
    )
    serve: ServeConfig = Field(ServeConfig(), description="How the model answers over HTTP.")
    extensions: Extensions = Field(Extensions(), description="Sections of installed third-party stages, by name.")

    @field_validator("name")
    @classmethod
    def _name_is_plain(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} cannot be a folder's name everywhere: use small letters, digits, dot, dash and "
                "underscore, starting with a letter or digit, at most 64 characters"
            )
        return value

    @field_validator("tracking")
    @classmethod
    def _no_password(cls, value: str | None) -> str | None:
        return refuse_secret(value)

    @model_validator(mode="before")
    @classmethod
    def _forms_of_the_model(cls, values: Any) -> Any:
        """A model without a neural network has one form; where the recipe names none, that is the default."""
        if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
            return values
        asked = values.get("compress") or {}
        if values["model"].get("classic") is None or not isinstance(asked, dict):
            return values
        return {**values, "compress": {"forms": ["classic"], "ship": "classic", **asked}}

    @model_validator(mode="before")
    @classmethod
    def _champion_that_gates_name(cls, values: Any) -> Any:
        """A gate that names the champion asks for the comparison: with this recipe's own where no other is named."""
        if not isinstance(values, dict):
            return values
        asked, release = values.get("champion"), values.get("release")
        gates = (release.get("gates") or []) if isinstance(release, dict) else []
        if asked is None and not (isinstance(gates, list) and any(_names_champion(gate) for gate in gates)):
            return values
        given = {} if asked is None else asked
        if not isinstance(given, dict):
            return values
        return {**values, "champion": {**given, "name": given.get("name") or values.get("name")}}

    @model_validator(mode="after")
    def _classic_agrees(self) -> Recipe:
        classic, forms = self.model.classic is not None, self.compress.forms
        if classic != ("classic" in forms) or (classic and len(forms) > 1):
            raise ValueError(
                f"compress.forms is {forms}, but a model.classic has the form classic and other models have the others"
            )
        if not classic:
            return self
        assert self.model.classic is not None
        check_classic(self.task, self.model.classic, class_weights=self.train.class_weights == "balanced")
        if self.model.max_length != "auto" and encoder_of(self.model.classic) is None:
            raise ValueError(
                "model.max_length says nothing to model.classic over words, which reads texts whole. Leave it out, or "
                "give features: {kind: embeddings, base: ...}, whose encoder cuts there"
            )
        if self.tune is not None:
            raise ValueError("tune searches the settings of a neural network; model.classic has none of them")
        defaults = {name: value for name, value in TrainConfig() if name not in HEEDED_BY_CLASSIC}
        changed = [name for name, value in defaults.items() if getattr(self.train, name) != value]
        if changed:
            raise ValueError(
                f"train.{changed[0]} says nothing to model.classic, which heeds {' and '.join(HEEDED_BY_CLASSIC)} of "
                "train alone"
            )
        return self

    @model_validator(mode="after")
    def _decisions_are_of_classifiers(self) -> Recipe:
        """What else is asked for would be ignored; it is refused instead."""
        asked = {
            "compress.calibrate": self.compress.calibrate and not TASKS[self.task].several,
            "champion": self.champion is not None,
            "evaluate.slices": bool(self.evaluate.slices),
            "evaluate.costs": self.evaluate.costs is not None,
        }
        for name, is_asked in asked.items():
            if is_asked and self.task != "classify":
                raise ValueError(f"{name} is of a classifier's answers; the task is {self.task}")
        return self

    @model_validator(mode="after")
    def _questions_are_answered_in_words(self) -> Recipe:
        if self.questions is not None and self.task != "generate":
            raise ValueError(f"questions are answered by a language model; the task is {self.task}. Leave them out")
        return self

    @model_validator(mode="after")
    def _asked_agrees(self) -> Recipe:
        """What stands beside a text is for tasks that answer it, and for models that can be told it."""
        answered = [name for name, task in TASKS.items() if task.target is not None]
        beside = {"data.pair": self.data.pair is not None, "data.columns": self.data.columns is not None}
        for name, is_asked in beside.items():
            if not is_asked or (name == "data.pair" and self.task == "embed"):
                continue
            if self.task not in answered:
                raise ValueError(f"{name} is for {', '.join(answered)}; the task is {self.task}. Leave it out")
            if self.model.classic is not None and name == "data.pair":
                raise ValueError(f"{name} is asked of model.base or model.scratch; model.classic reads one text alone")
            if self.data.augment is not None:
                raise ValueError(
                    f"data.augment rewrites a text that stands alone; with {name} a rewritten text may no longer fit "
                    "what stands beside it. Leave one of them out"
                )
        if self.data.columns is not None and self.train.method.kind not in ("full", "freeze"):
            raise ValueError(
                f"train.method {self.train.method.kind} adds to a model of transformers alone, and data.columns gives "
                "it a head of its own. Set train.method to {kind: full} or {kind: freeze}, or leave data.columns out"
            )
        return self

    @model_validator(mode="after")
    def _teacher_agrees(self) -> Recipe:
        """What a teacher cannot be told, and what would take its answers for those of people."""
        teacher = self.data.teacher
        if teacher is None:
            return self
        if self.data.split.folds is not None:
            raise ValueError(
                "each of data.split.folds is tested on rows of the training part, and with data.teacher many of these "
                "have the teacher's answers: the score would say how well it is imitated. Leave one of them out"
            )
        if self.data.columns is not None:
            raise ValueError(
                "data.teacher is asked about the text alone, not told the cells of data.columns, on which an answer "
                "may hang. Leave one of them out"
            )
        if self.budget.usd is not None and teacher.max_usd is None:
            raise ValueError(
                "budget.usd counts electricity alone, and nothing caps what data.teacher is paid: give its price and "
                "max_usd too, or leave budget.usd out"
            )
        return self

    @model_validator(mode="after")
    def _task_agrees(self) -> Recipe:
        check_targets(self)
        answered = TASKS[self.task].target is not None and not TASKS[self.task].several
        unlabelled = self.data.label is None and any(s.label is None for s in self.data.sources)
        if answered and unlabelled and self.data.teacher is None:
            raise ValueError(f"task {self.task} needs data.label (a column), or a label on every source")
        for what, tasks, asked in (
            ("data.unlabelled: keep", ("tag",), self.data.unlabelled == "keep"),
            ("data.balance", ("classify", "generate", "embed"), self.data.balance is not None),
            ("data.teacher", ("classify", "generate"), self.data.teacher is not None),
            ("data.labels.decisions", ("classify", "generate", "embed"), self.data.labels.decisions is not None),
            ("data.augment by label", ("classify", "generate", "embed"), _by_label(self.data.augment)),
            ("train.class_weights: balanced", ("classify", "multitask"), self.train.class_weights == "balanced"),
        ):
            if asked and self.task not in tasks:
                raise ValueError(f"{what} is for {tasks[0]}; the task is {self.task}. {_INSTEAD[what]}")
        if self.task == "classify" and self.data.teacher is not None and not self.data.teacher.labels:
            raise ValueError("data.teacher needs labels for classify: those that it may give")
        check_training(self.task, self.model, self.train)
        if self.tune is not None:
            check_space(self.tune, self.task, self.model, self.train)
        if self.folds is not None:
            check_folds(self.folds, self.data.split.folds, self.task)
        if self.task == "generate" and "onnx-int8" in self.compress.forms:
            raise ValueError("compress.forms: onnx-int8 is not for generate, which has torch and onnx")
        return self


def _names_champion(gate: Any) -> bool:
    from danlu.release.gates import asks_for

    return isinstance(gate, str) and asks_for(gate, "champion")


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file.

    Raises `RecipeError` that names the file, the line and, for an unknown key, the nearest known one.
    """
    return parse_recipe(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        # Of the stems: that all end in .yaml makes no two names alike.
        stems = {Path(name).stem: name for name in _names_beside(path) if Path(name).suffix in (".yaml", ".yml")}
        near = difflib.get_close_matches(path.stem, stems, n=1, cutoff=0.7)
        hint = f" Did you mean {str(path.parent / stems[near[0]])!r}?" if near else " `danlu init FILE` writes one."
        raise RecipeError(f"There is no recipe {str(path)!r}.{hint}") from None
    except IsADirectoryError:
        raise RecipeError(f"{str(path)!r} is a folder; expected a recipe file such as recipe.yaml.") from None
    except OSError as error:
        raise RecipeError(f"Cannot read the recipe {str(path)!r}: {error.strerror}.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise RecipeError(f"{path}:{line}: a recipe must be UTF-8 text; save it again as UTF-8.") from None


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def parse_recipe(text: str, name: str = "recipe") -> Recipe:
    """`load_recipe` for text already read; `name` stands in the messages."""
    tree = _parse_yaml(text, name)
    kind = _with_extensions(tree, name)
    try:
        return kind.model_validate(_as_plain(tree))
    except ValidationError as error:
        raise RecipeError(explain(error, tree, name, kind)) from None


def line_of(path: Path, *location: str | int) -> int | None:
    """The line of a recipe file where `location` stands, such as `"data", "sources", 0`; else of what is around it."""
    return line_in(_parse_yaml(_read(path), str(path)), location)


def _with_extensions(tree: Any, name: str) -> type[Recipe]:
    """`Recipe`, with the sections of the third-party stages that the file asks for.

    Raises `RecipeError` for a section that no installed distribution brings.
    """
    asked = tree.get("extensions")
    if not isinstance(asked, dict) or not asked:
        return Recipe
    known: dict[str, Any] = {}
    found = installed(Recipe.model_fields)
    for plugin in found.plugins:
        for section, field in plugin.own_sections(Recipe.model_fields).items():
            if known.setdefault(section, (field.annotation, field))[0] is not field.annotation:
                raise RecipeError(f"{name}: two installed stages bring a section extensions.{section}: uninstall one.")
    unknown = []
    for section in asked:
        if section not in known:
            near = difflib.get_close_matches(str(section), known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else f" Installed: {', '.join(known) or 'none'}."
            where = f"{name}:{line_in(tree, ('extensions', section))}"
            unknown.append(f"{where}: no installed distribution brings a section 'extensions.{section}'.{hint}")
            unknown += [str(error) for error in found.broken]
    if unknown:
        raise RecipeError("\n".join(dict.fromkeys(unknown)))
    fields = {section: known[section] for section in asked}
    extensions = create_model("Extensions", __base__=Extensions, __module__=__name__, **fields)
    described = Recipe.model_fields["extensions"].description
    return create_model(
        "Recipe", __base__=Recipe, __module__=__name__, extensions=(extensions, Field(description=described))
    )


def _parse_yaml(text: str, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    reader = YAML(typ="rt", pure=True)
    try:
        tree = reader.load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        key = re.search(r'duplicate key "([^"]*)"', str(error.problem))
        what = repr(key.group(1)) if key else "a key"
        raise RecipeError(f"{name}:{line}: {what} is given twice; keep one of them.") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise RecipeError(f"{name}:{line}: this is not YAML: {error.problem or error.context}.") from None
    except YAMLError as error:
        raise RecipeError(f"{name}: this is not YAML: {first_line(error)}.") from None
    if not isinstance(tree, dict):
        got = "nothing" if tree is None else "a list" if isinstance(tree, list) else "a word"
        raise RecipeError(f"{name}: expected `key: value` lines starting with `name:` and `task:`, got {got}.")
    return tree


def _as_plain(value: Any) -> Any:
    """Ruamel's round-trip types as Python's own, which strict validation asks for."""
    if isinstance(value, dict):
        return {str(key): _as_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
