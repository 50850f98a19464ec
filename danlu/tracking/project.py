"""Runs and releases as MLflow shows them: written from the records, never read back.

Danlu's own registry decides what is live. What is in MLflow already is left as it is, so that it can be brought up to
date as often as one likes, also after a break or from another machine.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danlu.core.errors import UserError, first_line
from danlu.core.lazy import need
from danlu.core.store import Workspace
from danlu.core.urls import filled, told, without_secrets
from danlu.release.registry import ALIASES, Registry, Version
from danlu.report.summary import summary

#: Tags by which what is there already is known.
_RUN, _VERSION = "danlu.run", "danlu.version"

#: Sections of the recipe that become parameters.
_SECTIONS = ("task", "data", "model", "train", "tune", "compress", "evaluate")
_MOST_CHARACTERS = 500
_PARAMETERS_AT_ONCE = 90


@dataclass(frozen=True, kw_only=True)
class Projected:
    """What was new. `where` is the tracking URI without secrets."""

    where: str
    runs: int
    versions: int
    champion: int | None


def project(name: str, workspace: Workspace, uri: str, base: Path) -> Projected:
    """Bring MLflow at `uri` up to date with all runs and releases of `name`.

    `uri` is a server or a SQLAlchemy URL; a SQLite file is relative to `base`. Raises `UserError` where MLflow cannot
    be reached.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow = need("mlflow", extra="mlflow")
    whole, secrets = filled(uri, "tracking")
    try:
        where = _absolute(whole, base)
        client = mlflow.MlflowClient(tracking_uri=where, registry_uri=where)
        return _Projection(client, name, workspace, where).bring_up_to_date()
    except UserError:
        raise
    except Exception as error:  # MLflow's, SQLAlchemy's, of the connection: all about the place
        why = told(first_line(error, 2_000), secrets)[:200]
        raise UserError(
            f"MLflow at {without_secrets(uri)!r} cannot be written to: {why}. Nothing of the run is lost: "
            f"`danlu track {name}` tries again."
        ) from None  # the driver's own error may hold the URL


class _Projection:
    def __init__(self, client: Any, name: str, workspace: Workspace, uri: str) -> None:
        self._client = client
        self._name = name
        self._workspace = workspace
        self._uri = uri

    def bring_up_to_date(self) -> Projected:
        experiment = self._experiment()
        folder = self._workspace.root / "runs" / self._name
        new = 0
        for path in sorted(folder.glob("[0-9]*.json")):
            run = _record(path)
            if run is not None and run["stages"] and self._run_of(experiment, _RUN, run["started"]) is None:
                self._add_run(experiment, run)
                new += 1
        registry = Registry(self._workspace, self._name)
        known = self._known_versions()
        versions = [version for version in registry.versions() if version.number not in known]
        for version in versions:
            known[version.number] = self._add_version(experiment, version)
        for alias in ALIASES:
            live = registry.alias(alias)
            if live is not None and live.number in known:
                self._client.set_registered_model_alias(self._name, alias, known[live.number])
        champion = registry.champion()
        return Projected(
            where=without_secrets(self._uri),
            runs=new,
            versions=len(versions),
            champion=champion.number if champion else None,
        )

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._name)
        if found is not None:
            return str(found.experiment_id)
        # Beside the database; a server knows its own place.
        path = self._uri.removeprefix("sqlite:///")
        place = None if path == self._uri else (Path(path).parent / "mlflow-artifacts" / self._name).as_uri()
        return str(self._client.create_experiment(self._name, artifact_location=place))

    def _run_of(self, experiment: str, tag: str, value: str) -> str | None:
        found = self._client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _add_run(self, experiment: str, run: Mapping[str, Any]) -> None:
        numbers = summary(dict(run), self._workspace)
        started, finished = (_milliseconds(run[name]) for name in ("started", "finished"))
        tags = {
            "danlu.verdict": run["verdict"],
            "danlu.stages": ", ".join(f"{row['stage']} {row['fingerprint'][:12]}" for row in run["stages"]),
            "mlflow.source.name": Path(run["recipe_path"]).name,
            "mlflow.note.content": numbers["sentence"]["en"],
        }
        if run["version"] is not None:
            tags[_VERSION] = str(run["version"])
        made = self._client.create_run(
            experiment, start_time=started, tags=tags, run_name=f"{run['verdict']} {run['started'][:16]}"
        )
        entities = need("mlflow.entities", extra="mlflow")
        run_id = made.info.run_id
        parameters = [entities.Param(key, value) for key, value in _parameters(run["resolved"])]
        for start in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self._client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_AT_ONCE])
        metrics = [entities.Metric(key, value, finished, step) for key, value, step in _metrics(numbers)]
        for start in range(0, len(metrics), 900):
            self._client.log_batch(run_id, metrics=metrics[start : start + 900])
        with tempfile.TemporaryDirectory() as folder:
            self._write_files(Path(folder), dict(run), numbers)
            self._client.log_artifacts(run_id, folder)
        # Last: a run that was cut short is written anew.
        self._client.set_tag(run_id, _RUN, run["started"])
        status = "FINISHED" if run["error"] is None else "FAILED"
        self._client.set_terminated(run_id, status=status, end_time=finished)

    def _write_files(self, folder: Path, run: dict[str, Any], numbers: dict[str, Any]) -> None:
        from danlu.report.page import write_report

        for language in ("en", "zh"):
            write_report(numbers, folder, language)
        text = json.dumps(run, indent=2, ensure_ascii=False)
        (folder / "run.json").write_text(text, encoding="utf-8")
        for row in run["stages"]:
            card = self._workspace.root / row["folder"] / "README.md"
            if row["stage"] in {"data", "release"} and card.is_file():
                (folder / f"{row['stage']}-card.md").write_bytes(card.read_bytes())

    def _known_versions(self) -> dict[int, str]:
        """MLflow's number of each version that is there, by Danlu's."""
        errors = need("mlflow.exceptions", extra="mlflow")
        try:
            self._client.get_registered_model(self._name)
        except errors.MlflowException:
            self._client.create_registered_model(self._name, description="Released by Danlu; see the runs' reports.")
        found = self._client.search_model_versions(f"name = '{self._name}'", max_results=1_000)
        return {int(one.tags[_VERSION]): str(one.version) for one in found if _VERSION in one.tags}

    def _add_version(self, experiment: str, version: Version) -> str:
        """Register the form that is served, so that `models:/NAME@champion` loads it; returns MLflow's number."""
        pyfunc = need("mlflow.pyfunc", extra="mlflow")
        run_id = self._run_of(experiment, _VERSION, str(version.number))
        if run_id is None:
            run_id = self._client.create_run(experiment, tags={_VERSION: str(version.number)}).info.run_id
            self._client.set_terminated(run_id)
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            pyfunc.save_model(
                str(model),
                loader_module="danlu.tracking.loader",
                data_path=str(version.folder / "form"),
                pip_requirements=[f"danlu[all]=={importlib.metadata.version('danlu')}"],
            )
            self._client.log_artifacts(run_id, str(model), f"version-{version.number}")
        place = f"{self._client.get_run(run_id).info.artifact_uri}/version-{version.number}"
        made = self._client.create_model_version(
            self._name,
            place,
            run_id=run_id,
            tags={_VERSION: str(version.number), "danlu.release": version.fingerprint},
        )
        return str(made.version)


def _record(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a damaged record hides no other
        return None
    return found


def _milliseconds(moment: str) -> int:
    return round(1000 * datetime.datetime.fromisoformat(moment).timestamp())


def _parameters(resolved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The settings by dotted name; what was left empty is left out."""
    for section in _SECTIONS:
        yield from _flat(section, resolved.get(section))


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, inner in enumerate(value):
            yield from _flat(f"{name}.{place}", inner)
    elif value is not None and value != []:
        yield name, str(value)[:_MOST_CHARACTERS]


def _metrics(numbers: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    """`(name, value, step)`: scores with their intervals, the course of training, speed, what it took."""
    for kind in ("evidence", "baseline"):
        for name, score in ((numbers[kind] or {}).get("scores") or {}).items():
            for bound in ("value", "low", "high"):
                if score.get(bound) is not None:
                    end = "" if bound == "value" else f".{bound}"
                    yield f"{'baseline.' if kind == 'baseline' else ''}{name}{end}", float(score[bound]), 0
    for row in (numbers["training"] or {}).get("history") or []:
        for name in ("train_loss", "validation_loss", "validation_score"):
            if row.get(name) is not None:
                yield name, float(row[name]), int(row["step"])
    for name in ("p50_ms", "p95_ms", "throughput_per_second"):
        if (numbers["speed"] or {}).get(name) is not None:
            yield name, float(numbers["speed"][name]), 0
    for name, found in numbers["plan"]["total"].items():
        if found["actual"] is not None:
            yield f"actual.{name}", float(found["actual"]), 0
        if found["predicted"] is not None:
            yield f"predicted.{name}", float(found["predicted"]["value"]), 0


def _absolute(uri: str, base: Path) -> str:
    path = uri.removeprefix("sqlite:///")
    if path == uri:
        return uri
    place = (base / path).resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{place}"
