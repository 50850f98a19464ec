"""Label Studio: tasks to import there, the labelling interface they need, and what it exports.

The shapes are those of Label Studio's "basic JSON format" and its JSON and JSON-MIN exports
(https://labelstud.io/guide/task_format, https://labelstud.io/guide/predictions).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from danlu.core.errors import DataError
from danlu.data.labels.batch import UNSURE, Item
from danlu.data.labels.files import replacing

#: The names that join the interface, the predictions and the export.
_CHOICES = "label"
_TEXT = "text"

_MOST_SHORTCUTS = 9


def write_tasks(path: Path, items: Sequence[Item], labels: Sequence[str], *, model: str, blind: bool) -> Path:
    """Write the tasks, and the labelling interface as XML beside them; returns the path of that XML.

    A suggestion becomes a prediction, which Label Studio shows as a choice already made; `blind` leaves it out.
    """
    tasks = []
    for item in items:
        given, suggested = ("", "") if blind else item.shown
        data = {"content": item.content, "text": item.text, "why": item.why, "given": given}
        result = {"from_name": _CHOICES, "to_name": _TEXT, "type": "choices", "value": {"choices": [suggested]}}
        task: dict[str, Any] = {"data": data}
        if suggested:
            task["predictions"] = [{"model_version": model, "result": [result]}]
        tasks.append(task)
    interface = path.with_name(f"{path.stem}.config.xml")
    with replacing(path) as beside:
        beside.write_text(json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with replacing(interface) as beside:
        beside.write_text(labelling_interface(labels, blind=blind), encoding="utf-8")
    return interface


def labelling_interface(labels: Sequence[str], *, blind: bool) -> str:
    """The labelling configuration to paste into the project's settings."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Text", name=_TEXT, value="$text")
    if not blind:
        ElementTree.SubElement(view, "Header", value="given 原标注: $given", size="5")
    choices = ElementTree.SubElement(view, "Choices", name=_CHOICES, toName=_TEXT, choice="single", required="true")
    for number, label in enumerate([*labels, UNSURE], 1):
        shortcut: dict[str, Any] = {"hotkey": str(number)} if number <= _MOST_SHORTCUTS else {}
        ElementTree.SubElement(choices, "Choice", value=label, **shortcut)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def read_export(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield `(place, content, label, annotator)` of each annotation in a Label Studio export (JSON or JSON-MIN).

    Skipped tasks are left out; of several annotations of one person the newest counts. Raises `DataError` for a file
    that is no such export.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is no JSON that can be read ({error}). Export it again as JSON.") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(
            f"{path.name} is no Label Studio export: expected a list of tasks. Export it as JSON or JSON-MIN."
        )
    for number, task in enumerate(tasks, 1):
        place = f"{path.name}, task {number}"
        if "annotations" in task:
            yield from _of_task(place, task)
        elif isinstance(task.get(_CHOICES), str):
            yield place, str(task.get("content", "")), task[_CHOICES], _person(task.get("annotator"))
        elif "data" in task:
            raise DataError(
                f"{place} has no annotations: this looks like the tasks that went in. Export the project as JSON."
            )


def _of_task(place: str, task: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    try:
        content = str(task["data"]["content"])
        made = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
        made.sort(key=lambda annotation: str(annotation.get("updated_at") or annotation.get("created_at") or ""))
        newest = {_person(annotation.get("completed_by")): annotation for annotation in made}
        for annotator, annotation in newest.items():
            for result in annotation["result"]:
                if result.get("from_name") == _CHOICES and result.get("type") == "choices":
                    yield place, content, str(result["value"]["choices"][0]), annotator
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"{place} is not as Label Studio exports it ({type(error).__name__}: {error}). Expected the tasks of "
            "`danlu label export --label-studio`, exported as JSON."
        ) from None


def _person(value: Any) -> str:
    """The annotator's e-mail address where the export has it, else the number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "annotator" if value is None else str(value) if not isinstance(value, int) else f"annotator {value}"
