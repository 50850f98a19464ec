"""How a mistake in a recipe is told: its line, what came, what was expected, and the nearest name.

pydantic finds the mistakes and tells them in words about Python; here they become words about the file.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

#: A place in a recipe: keys, and positions in lists.
Location = tuple[int | str, ...]


def explain(error: ValidationError, tree: Any, name: str, kind: type[BaseModel]) -> str:
    """Every mistake in the recipe `tree`, of the file `name`, on a line of its own, in the order of the file.

    `tree`: as ruamel.yaml read it, with its line numbers. `kind`: the class that refused it.
    """
    told: list[tuple[int, str]] = []
    for problem in error.errors():
        location = _as_written(problem, tree)
        tell = _EXPLAIN.get(problem["type"], _explain_value)
        # A rule over several settings tells each breach of it on a line.
        for said in tell(problem, location, kind).split("\n"):
            line = line_in(tree, (*location, *_named_first(said, location)))
            told.append((line or 0, f"{name}:{line}: {said}" if line else f"{name}: {said}"))
    return "\n".join(dict.fromkeys(text for _, text in sorted(told, key=lambda pair: pair[0])))


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

    Parts that the file does not have may be among them; `line_in` passes over those.
    """
    said = said.removeprefix(_dotted(location)).removeprefix(": ")
    found = re.match(r"(?P<path>[a-z]\w*(?:[.][a-z]\w*)*)(?:: (?P<word>[\w.]+)(?:[^']*'(?P<quoted>[\w.]+)')?)?", said)
    if found is None:
        return ()
    return (*found["path"].split("."), *(name for name in (found["word"], found["quoted"]) if name))


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)


def _explain_unknown(_problem: Any, location: Location, kind: type[BaseModel]) -> str:
    return f"there is no key {_dotted(location)!r}.{_nearest(location, kind)}"


def _explain_missing(_problem: Any, location: Location, kind: type[BaseModel]) -> str:
    return f"{_dotted(location)!r} is missing. {_description(location, kind)}"


def _explain_rule(problem: Any, location: Location, _kind: type[BaseModel]) -> str:
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    dotted = _dotted(location)
    return "\n".join(
        f"{dotted + ': ' if dotted else ''}{line.rstrip('.')}{'' if line.endswith('?') else '.'}"
        for line in said.splitlines()
    )


def _explain_value(problem: Any, location: Location, kind: type[BaseModel]) -> str:
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


def _explain_kind(problem: Any, location: Location, _kind: type[BaseModel]) -> str:
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


def line_in(tree: Any, location: Location) -> int | None:
    """The 1-based line of the deepest part of `location` that the file has; None where it has none of it."""
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


def _section(location: Location, kind: type[BaseModel]) -> type[BaseModel] | None:
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


def _nearest(location: Location, kind: type[BaseModel]) -> str:
    section = _section(location, kind)
    if section is None:
        return ""
    near = difflib.get_close_matches(str(location[-1]), section.model_fields, n=1, cutoff=0.5)
    if near:
        return f" Did you mean {near[0]!r}?"
    for other in kind.model_fields:
        inner = _model_in(kind.model_fields[other].annotation)
        if inner is not None and location[-1] in inner.model_fields:
            return f" It belongs under {other!r}."
    return f" Known here: {', '.join(section.model_fields)}."


def _description(location: Location, kind: type[BaseModel]) -> str:
    section = _section(location, kind)
    if section is None or not location or location[-1] not in section.model_fields:
        return ""
    return str(section.model_fields[str(location[-1])].description or "")
