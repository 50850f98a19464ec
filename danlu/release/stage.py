"""Decides whether a model may go live, and packs what goes live: the form, its card and the verdict."""

from __future__ import annotations

from pathlib import Path

from danlu.core.artifact import Artifact, link_tree, list_files, write_json
from danlu.core.context import Context
from danlu.core.errors import DanluError
from danlu.core.tasks import TASKS
from danlu.release import gates
from danlu.release.card import model_card
from danlu.release.config import ReleaseStage
from danlu.release.facts import gather

FORM = "form"


def run(ctx: Context, config: ReleaseStage) -> None:
    """Write `release.json`, `README.md` (the model card) and `form/`.

    A release that is refused, or for which the test rows are too few, ends the stage like one that ships: the verdict
    is its result.
    """
    card = ctx.inputs["data"].json("card.json")
    checkpoint = ctx.inputs["train"].json("danlu.json")
    export = ctx.inputs["compress"].json("export.json")
    evidence = ctx.inputs["evaluate"].json("evidence.json")
    speed = ctx.inputs["speed"].json("speed.json")

    champion = ctx.inputs["champion"].json("champion.json") if "champion" in ctx.inputs else None
    questions = ctx.inputs["questions"].json("questions.json") if "questions" in ctx.inputs else None
    facts = gather(
        card=card,
        checkpoint=checkpoint,
        export=export,
        evidence=evidence,
        speed=speed,
        champion=champion,
        questions=questions,
    )
    expressions = config.release.gates or gates.defaults(config.task, str(export["ship"]), checkpoint.get("base"))
    results = [gates.evaluate(gates.parse(text), facts) for text in expressions]
    verdict = gates.verdict_of(results)
    for result in results:
        ctx.say(f"{'passed' if result.passed else 'FAILED'}  {result.expression}: {result.reason}")

    form = export["ship"]
    release = {
        "name": config.name,
        "task": config.task,
        "verdict": verdict,
        "gates": [result.as_dict() for result in results],
        "form": form,
        "endpoint": TASKS[config.task].endpoint,
        "labels": checkpoint["labels"],
        "scores": evidence["scores"],
        "lineage": {name: [artifact.fingerprint, artifact.content] for name, artifact in sorted(ctx.inputs.items())},
    }
    write_json(ctx.out / "release.json", release)
    text = model_card(
        release=release,
        summary=config.release.summary,
        card=card,
        checkpoint=checkpoint,
        export=export,
        evidence=evidence,
        speed=speed,
    )
    (ctx.out / "README.md").write_text(text, encoding="utf-8")
    link_tree(ctx.inputs["compress"] / f"forms/{form}", ctx.out / FORM)
    _check_untouched(ctx.inputs["compress"], f"forms/{form}", ctx.out / FORM)


def _check_untouched(export: Artifact, inside: str, linked: Path) -> None:
    """Raise `DanluError` unless the linked files are, byte for byte, those that were exported and evaluated."""
    exported = {entry.path: entry.sha256 for entry in export.record.files if entry.path.startswith(f"{inside}/")}
    found = {f"{inside}/{entry.path}": entry.sha256 for entry in list_files(linked)}
    changed = sorted(name for name in exported.keys() | found.keys() if exported.get(name) != found.get(name))
    if changed:
        raise DanluError(
            f"{changed[0]} in {export.folder} is not what was exported and evaluated: it was changed since. Remove "
            "that folder and run again to make it anew."
        )
