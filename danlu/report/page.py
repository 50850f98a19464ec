"""The report: one HTML file that needs nothing else, neither network nor script."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

from danlu.core.lazy import need
from danlu.core.scores import LOWER_IS_BETTER
from danlu.core.store import write_atomically
from danlu.report import numbers as show
from danlu.report.decisions import slice_rows
from danlu.report.files import report_file
from danlu.report.folds import fold_rows
from danlu.report.meaning import meaning
from danlu.report.plots import PLOTS
from danlu.report.questions import question_columns, question_scores
from danlu.report.sentences import (
    HEADLINES,
    NOT_COMPARABLE,
    gate_sentence,
    is_leak,
    naive_explanation,
    standing,
    training_notes,
)
from danlu.report.targets import score_name
from danlu.report.words import words

_TEXT_CHARACTERS = 400


def write_report(summary: dict[str, Any], folder: Path, language: str = "en") -> Path:
    """Write the report of a run (see `danlu.report.summary`) into `folder` and return its path.

    The file is `report.html` in English ("en"), `report.zh.html` in Chinese ("zh"); a run without a verdict has
    `report.stopped.html`, `report.stopped.zh.html`. Raises `UserError` for another language.
    """
    path = folder / report_file(summary["verdict"], language)
    write_atomically(path, page(summary, language))
    return path


def page(summary: dict[str, Any], language: str = "en") -> str:
    """The whole HTML page as text; the same summary gives the same text."""
    said = words(language)  # type: ignore[arg-type]
    markup = need("markupsafe", extra="report").Markup
    plots = {name: draw(summary, said) for name, draw in PLOTS.items()}
    explained = naive_explanation(summary)
    return str(
        _template().render(
            s=summary,
            w=said,
            language=language,
            standing=standing(summary),
            html_language={"en": "en", "zh": "zh-CN"}[language],
            css=markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8")),
            plots={name: plot and {"svg": markup(plot.svg), "legend": plot.legend} for name, plot in plots.items()},
            meaning=[point[language] for point in meaning(summary)],
            seen=[gate_sentence(gate, summary)[language] for gate in summary["gates"] or []],
            leak=bool(summary["naive"]) and is_leak(summary["naive"]),
            naive_explanation=explained and explained[language],
            tiles=_tiles(summary, said),
            score_rows=_score_rows(summary, said),
            comparison=_comparison(summary, said),
            training=_training(summary, said),
            study=_study(summary, said),
            fold_rows=fold_rows(summary),
            question_columns=question_columns(summary),
            question_scores=question_scores(summary),
            slice_rows=slice_rows(summary),
            form_metrics=[(metric, score_name(metric, said)) for metric in _form_metrics(summary)],
            dropped=_dropped(summary),
            notes=training_notes(summary, said),
            places=_places(summary, said),
        )
    )


@functools.cache
def _template() -> Any:
    jinja2 = need("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # texts and labels come from data files and are never trusted
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": show.count,
        "number": show.number,
        "percent": show.percent,
        "size": show.size,
        "duration": show.duration,
        "milliseconds": show.milliseconds,
        "money": show.money,
        "score": _interval,
        "span": _span,
        "moment": show.moment,
        "clip": lambda text: text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS] + " …",
    }
    return environment.get_template("page.html")


def _interval(score: dict[str, Any] | None, metric: str = "accuracy") -> Any:
    """A score and, smaller, its interval."""
    markup = need("markupsafe", extra="report").Markup
    form = show.form_of(metric)
    if score is None or score.get("value") is None:
        return show.MISSING
    if score.get("low") is None or score.get("high") is None:
        return form(score["value"])
    return markup('<span>{} <small class="interval">{} – {}</small></span>').format(
        form(score["value"]), form(score["low"]), form(score["high"])
    )


def _span(score: dict[str, Any] | None, kind: str) -> Any:
    """A prediction with its interval, of a kind of `danlu.report.numbers.within`."""
    markup = need("markupsafe", extra="report").Markup
    value, ends = show.within(score, kind)
    return markup('<span>{} <small class="interval">{}</small></span>').format(value, ends) if ends else value


def _tiles(summary: dict[str, Any], said: dict[str, str]) -> list[dict[str, Any]]:
    """The few numbers to see first: value, what it is, and a smaller line."""
    evidence, baseline, speed = summary["evidence"], summary["baseline"], summary["speed"]
    tiles: list[dict[str, Any]] = []
    metric = HEADLINES[summary["task"]]
    form = show.form_of(metric)
    if evidence and evidence["scores"].get(metric):
        score = evidence["scores"][metric]
        tiles.append({"value": form(score["value"]), "what": said[f"tile_{metric}"], "more": _ends(score, form)})
    if baseline and baseline["scores"].get(metric):
        score = baseline["scores"][metric]
        tiles.append({"value": form(score["value"]), "what": said["tile_baseline"], "more": _ends(score, form)})
    if speed and speed.get("tokens_per_second") is not None:
        more = said["first_token"].format(time=show.milliseconds(speed.get("first_token_ms")))
        tiles.append({"value": show.number(speed["tokens_per_second"]), "what": said["tile_tokens"], "more": more})
    elif speed and speed.get("p95_ms") is not None:
        more = f"p50 {show.milliseconds(speed['p50_ms'])}"
        tiles.append({"value": show.milliseconds(speed["p95_ms"]), "what": said["tile_latency"], "more": more})
    shipped = next((form for form in summary["forms"] or [] if form["shipped"]), None)
    if shipped:
        tiles.append({"value": show.size(shipped["bytes"]), "what": said["tile_size"], "more": shipped["form"]})
    if summary["data"] and summary["data"]["leaked_rows"] is not None:
        tiles.append(
            {"value": show.count(summary["data"]["leaked_rows"]), "what": said["tile_leaked"], "more": said["counted"]}
        )
    return tiles


def _ends(score: dict[str, Any], form: Any, between: str = " – ") -> str:
    if score.get("low") is None or score.get("high") is None:
        return ""
    return f"{form(score['low'])}{between}{form(score['high'])}"


def _score_rows(summary: dict[str, Any], said: dict[str, str]) -> list[dict[str, Any]]:
    if not summary["evidence"]:
        return []
    baseline = summary["baseline"] or {}
    return [
        {
            "metric": metric,
            "name": score_name(metric, said),
            "lower": show.base_of(metric) in LOWER_IS_BETTER,
            "model": score,
            "same": None if metric in NOT_COMPARABLE else (baseline.get("scores") or {}).get(metric),
            "all": None
            if metric in NOT_COMPARABLE
            else ((baseline.get("all_rows") or {}).get("scores") or {}).get(metric),
        }
        for metric, score in summary["evidence"]["scores"].items()
    ]


def _comparison(summary: dict[str, Any], said: dict[str, str]) -> str | None:
    baseline = summary["baseline"]
    if not baseline or not baseline.get("comparison"):
        return None
    comparison = baseline["comparison"]
    by_target = comparison.get("targets") or {"": comparison}
    return " ".join(
        _compared(one.get("name") or baseline["name"], target, one, said) for target, one in by_target.items()
    )


def _compared(name: str, target: str, comparison: dict[str, Any], said: dict[str, str]) -> str:
    difference, metric = comparison["difference"], comparison["metric"]
    form = _points if metric in show.SHARES else show.number
    ends = _ends(difference, form, f" {said['to']} ")
    return said["comparison"].format(
        name=name,
        metric=score_name(f"{target}.{metric}" if target else metric, said),
        difference=f"{form(difference['value'])}{f' ({ends})' if ends else ''}",
        test=said.get(f"test_{comparison['test']}", comparison["test"]),
        p=_p_value(comparison["p_value"]),
        verdict=said["significant" if comparison["significant"] else "not_significant"],
    )


def _form_metrics(summary: dict[str, Any]) -> list[str]:
    """The scores that forms have, in the order they come."""
    found = [metric for form in summary["forms"] or [] for metric in form["scores"] or {}]
    return list(dict.fromkeys(found))


def _dropped(summary: dict[str, Any]) -> dict[str, int]:
    """Rows that the data stage dropped, by reason, most first."""
    total: Counter[str] = Counter()
    for step in (summary["data"] or {}).get("funnel") or []:
        total.update(step["dropped"])
    return dict(total.most_common())


def _places(summary: dict[str, Any], said: dict[str, str]) -> list[dict[str, Any]]:
    """This machine and the GPUs that the plan compares it with."""
    plan = summary["plan"]["predicted"]
    if not plan:
        return []
    here = {"name": said["machine_here"], "more": plan["machine"]["cpu"], "fits": True, **plan["total"]}
    return [
        here,
        *_this_run(summary, said),
        *(gpu | {"more": f"{show.money(gpu['price_usd_per_hour'])}/h, {gpu['date']}"} for gpu in plan["elsewhere"]),
    ]


def _this_run(summary: dict[str, Any], said: dict[str, str]) -> list[dict[str, Any]]:
    """What the run took, where all of it is known."""
    total = summary["plan"]["total"]
    keys = ("seconds", "memory_bytes", "usd", "kg_co2")
    if any(total[key]["actual"] is None for key in keys):
        return []
    took = {key: {"value": total[key]["actual"]} for key in keys}
    return [{"name": said["this_run"], "more": show.energy_known(summary["plan"]["kwh_by"], said), "fits": True} | took]


def _points(value: float | None) -> str:
    return show.MISSING if value is None else f"{100 * value:+.1f} pp".replace("-", show.MINUS)


def _p_value(value: float | None) -> str:
    return f"p {show.MISSING}" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _study(summary: dict[str, Any], said: dict[str, str]) -> str | None:
    study = summary["study"]
    if not study:
        return None
    states = Counter(trial["state"] for trial in study["trials"])
    settings = ", ".join(
        f"{name} {show.number(value) if isinstance(value, float) else value}"
        for name, value in study["best"]["settings"].items()
    )
    return said["study_text"].format(
        trials=show.count(len(study["trials"])),
        pruned=show.count(states["pruned"]),
        failed=show.count(states["failed"]),
        metric=said.get(study["metric"], study["metric"]),
        value=show.number(study["best"]["value"]),
        settings=settings,
    )


def _training(summary: dict[str, Any], said: dict[str, str]) -> str | None:
    training, model = summary["training"], summary["model"]
    if not training or not model:
        return None
    rate = (training.get("speed") or {}).get("samples_per_second")
    text = said["training_text"].format(
        base=_base(model, said),
        parameters=show.count(model["parameters"]),
        samples=show.count(training["samples"]),
        steps=show.count(training["steps"]),
        epochs=show.number(training["epochs"], 2),
        precision=training["precision"],
        stopped=said["gave_up" if training.get("gave_up") else "stopped_early"] if training["stopped_early"] else "",
        speed=said["samples_per_second"].format(rate=show.number(rate)) if rate else "",
    )
    made = model.get("made_rows") or {}
    told = ", ".join(f"{label} {show.count(of['rows'])} + {show.count(of['new'])}" for label, of in made.items())
    return text + said["made_rows"].format(classes=told) if made else text


def _base(model: dict[str, Any], said: dict[str, str]) -> str:
    base = f"{model['architecture']}, {(model.get('base') or said['from_scratch']).removeprefix('base://')}"
    return base + (said["ensemble"].format(count=model["members"]) if model.get("members") else "")
