"""The one file a user writes. It joins every room's section; nothing else is read from anywhere.

YAML 1.2 through ruamel.yaml: `1e-5` is a number, `no` is a word, a key given twice is refused, and every error
can name its line.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator, model_validator

from danlu.compress.config import CompressConfig
from danlu.core.config import Config
from danlu.core.errors import RecipeError, first_line
from danlu.core.plugins import installed
from danlu.core.tasks import TASKS, TaskName
from danlu.core.urls import refuse_secret
from danlu.data.augment.config import AugmentConfig
from danlu.data.config import DataConfig
from danlu.evaluate.config import EvaluateConfig, SpeedConfig
from danlu.folds.config import FoldsConfig, check_folds
from danlu.learning.objectives.config import aim_of, check_pieces
from danlu.plan.config import BudgetConfig
from danlu.release.config import ReleaseConfig
from danlu.serve.config import ServeConfig
from danlu.train.config import ModelConfig, TrainConfig
from danlu.tune.config import TuneConfig, check_space

#: What to do where a setting is for another task.
_INSTEAD = {
    "data.unlabelled: keep": "Only there a row may have no label; leave it out",
    "data.balance": "Leave it out; for tag there is train.objective.positive_weights: balanced",
    "data.augment by label": "Leave out labels and fewer_than",
    "data.labels.decisions": "Correct the labels in the files",
    "train.class_weights: balanced": "Leave it out; for tag there is train.objective.positive_weights: balanced",
}

#: Settings of `train` that mean something to a model without a neural network.
_HEEDED_BY_CLASSIC = ("class_weights", "seed")

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
        "(a number each), generate text, or embed texts for search."
    )
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

    @model_validator(mode="after")
    def _classic_agrees(self) -> Recipe:
        classic, forms = self.model.classic is not None, self.compress.forms
        if classic != ("classic" in forms) or (classic and len(forms) > 1):
            raise ValueError(
                f"compress.forms is {forms}, but a model.classic has the form classic and other models have the others"
            )
        if not classic:
            return self
        if self.task != "classify":
            raise ValueError(
                f"model.classic classifies texts, but the recipe's task is {self.task}; start from model.base or "
                "model.scratch, and the evidence tells how the TF-IDF baseline does"
            )
        if self.tune is not None:
            raise ValueError("tune searches the settings of a neural network; model.classic has none of them")
        defaults = {name: value for name, value in TrainConfig() if name not in _HEEDED_BY_CLASSIC}
        changed = [name for name, value in defaults.items() if getattr(self.train, name) != value]
        if changed:
            raise ValueError(
                f"train.{changed[0]} says nothing to model.classic, which heeds {' and '.join(_HEEDED_BY_CLASSIC)} of "
                "train alone"
            )
        return self

    @model_validator(mode="after")
    def _task_agrees(self) -> Recipe:
        answered = TASKS[self.task].target is not None
        if answered and self.data.label is None and any(s.label is None for s in self.data.sources):
            raise ValueError(f"task {self.task} needs data.label (a column), or a label on every source")
        for what, tasks, asked in (
            ("data.unlabelled: keep", ("tag",), self.data.unlabelled == "keep"),
            ("data.balance", ("classify", "generate", "embed"), self.data.balance is not None),
            ("data.labels.decisions", ("classify", "generate", "embed"), self.data.labels.decisions is not None),
            ("data.augment by label", ("classify", "generate", "embed"), _by_label(self.data.augment)),
            ("train.class_weights: balanced", ("classify", "generate"), self.train.class_weights == "balanced"),
        ):
            if asked and self.task not in tasks:
                raise ValueError(f"{what} is for {tasks[0]}; the task is {self.task}. {_INSTEAD[what]}")
        aim = aim_of(self.task, self.train.objective)
        check_pieces(aim, micro_batch=self.train.micro_batch, grow=self.train.batching.grow)
        if self.tune is not None:
            check_space(self.tune, self.model, self.train)
        if self.folds is not None:
            check_folds(self.folds, self.data.split.folds)
        if self.task == "generate" and "onnx-int8" in self.compress.forms:
            raise ValueError("compress.forms: onnx-int8 is not for generate, which has torch and onnx")
        return self


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
        raise RecipeError(_explain(error, tree, name, kind)) from None


def line_of(path: Path, *location: str | int) -> int | None:
    """The line of a recipe file where `location` stands, such as `"data", "sources", 0`; else of what is around it."""
    return _line_of(_parse_yaml(_read(path), str(path)), location)


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
            where = f"{name}:{_line_of(tree, ('extensions', section))}"
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


def _explain(error: ValidationError, tree: Any, name: str, kind: type[Recipe]) -> str:
    """Every mistake on a line of its own, in the order of the file."""
    told: list[tuple[int, str]] = []
    for problem in error.errors():
        location = _as_written(problem, tree)
        explain = _EXPLAIN.get(problem["type"], _explain_value)
        # A rule over several settings tells each breach of it on a line.
        for said in explain(problem, location, kind).split("\n"):
            line = _line_of(tree, (*location, *_named_first(said, location)))
            told.append((line or 0, f"{name}:{line}: {said}" if line else f"{name}: {said}"))
    return "\n".join(dict.fromkeys(text for _, text in sorted(told, key=lambda pair: pair[0])))


Location = tuple[int | str, ...]


def _as_written(problem: Any, tree: Any) -> Location:
    """The place of a problem as the file has it: pydantic also names the member of a union that it tried."""
    location: Location = problem["loc"]
    absent = problem["type"] in ("missing", "extra_forbidden")
    kept: list[int | str] = []
    here: Any = tree
    for place, part in enumerate(location):
        inside = isinstance(here, dict) and part in here
        if inside or (isinstance(here, list) and isinstance(part, int) and part < len(here)):
            here = here[part]
        elif not (absent and place == len(location) - 1):
            continue
        kept.append(part)
    return tuple(kept)


def _named_first(said: str, location: Location) -> Location:
    """Where a message is about, from `location` on: `tune.space: epochs cannot be 0` begins with it.

    Parts that the file does not have may be among them; `_line_of` passes over those.
    """
    said = said.removeprefix(_dotted(location)).removeprefix(": ")
    found = re.match(r"(?P<path>[a-z]\w*(?:[.][a-z]\w*)*)(?:: (?P<word>[\w.]+)(?:[^']*'(?P<quoted>[\w.]+)')?)?", said)
    if found is None:
        return ()
    return (*found["path"].split("."), *(name for name in (found["word"], found["quoted"]) if name))


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)


def _explain_unknown(_problem: Any, location: Location, kind: type[Recipe]) -> str:
    return f"there is no key {_dotted(location)!r}.{_nearest(location, kind)}"


def _explain_missing(_problem: Any, location: Location, kind: type[Recipe]) -> str:
    return f"{_dotted(location)!r} is missing. {_description(location, kind)}"


def _explain_rule(problem: Any, location: Location, _kind: type[Recipe]) -> str:
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    dotted = _dotted(location)
    return "\n".join(
        f"{dotted + ': ' if dotted else ''}{line.rstrip('.')}{'' if line.endswith('?') else '.'}"
        for line in said.splitlines()
    )


def _explain_value(problem: Any, location: Location, kind: type[Recipe]) -> str:
    got = problem["input"]
    shown = repr(got) if not isinstance(got, dict | list) else f"a {type(got).__name__}"
    expected = _EXPECTED.get(problem["type"], "{msg}").format(msg=problem["msg"], **problem.get("ctx", {}))
    return f"{_dotted(location)} is {shown}. {expected}. {_description(location, kind)}".rstrip()


#: pydantic's type of error -> what was expected, where pydantic's own words are about Python
_EXPECTED = {
    "model_type": "Expected a section: keys with their values",
    "model_attributes_type": "Expected a section: keys with their values",
    "dict_type": "Expected a section: keys with their values",
    "too_short": "Expected {min_length} items at least; {actual_length} came",
    "too_long": "Expected {max_length} items at most; {actual_length} came",
}


def _explain_kind(problem: Any, location: Location, _kind: type[Recipe]) -> str:
    got, expected = str(problem["ctx"]["tag"]), problem["ctx"]["expected_tags"]
    near = difflib.get_close_matches(got, [each.strip(" '") for each in expected.split(",")], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{_dotted(location)}.kind is {got!r}. Expected one of {expected}.{hint}"


#: pydantic's type of error -> how it is told
_EXPLAIN = {
    "union_tag_invalid": _explain_kind,
    "extra_forbidden": _explain_unknown,
    "missing": _explain_missing,
    "value_error": _explain_rule,
    "assertion_error": _explain_rule,
}


def _line_of(tree: Any, location: Location) -> int | None:
    """The 1-based line of the deepest part of `location` that the file has."""
    line = None
    here = tree
    for part in location:
        marks = getattr(here, "lc", None)
        try:
            if isinstance(here, dict) and part in here and marks is not None:
                line = marks.key(part)[0] + 1
                here = here[part]
            elif isinstance(here, list) and isinstance(part, int) and part < len(here) and marks is not None:
                line = marks.item(part)[0] + 1
                here = here[part]
            else:
                continue
        except (KeyError, TypeError, AttributeError):
            break
    return line


def _section(location: Location, kind: type[Recipe]) -> type[BaseModel] | None:
    """The configuration class that holds the last key of `location`."""
    here: type[BaseModel] | None = kind
    free = False  # whether the next part is a name of the user's own
    for part in location[:-1]:
        if isinstance(part, int) or free:
            free = False
            continue
        if here is None or part not in here.model_fields:
            return None
        annotation = here.model_fields[part].annotation
        here, free = _model_in(annotation), get_origin(annotation) is dict
    return here


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _nearest(location: Location, kind: type[Recipe]) -> str:
    section = _section(location, kind)
    if section is None:
        return ""
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    for other in Recipe.model_fields:
        inner = _model_in(Recipe.model_fields[other].annotation)
        if inner is not None and location[-1] in inner.model_fields:
            return f" It belongs under {other!r}."
    return f" Known here: {', '.join(section.model_fields)}."


def _description(location: Location, kind: type[Recipe]) -> str:
    section = _section(location, kind)
    if section is None or not location or location[-1] not in section.model_fields:
        return ""
    return str(section.model_fields[str(location[-1])].description or "")
