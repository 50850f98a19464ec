"""The tune stage: trainings with different settings, and the settings of the one that validated best.

A trial is a whole run of the train stage, in a process of its own. The best one's checkpoint stays, so that the train
stage that follows finds its work done, if trials had all threads. Optuna proposes (Tree-structured Parzen Estimator,
Bergstra et al. 2011) and keeps the search in a database that survives a kill; a trial that was under way goes on from
its own checkpoint.
"""

from __future__ import annotations

import time
from typing import Any

from danlu.core.artifact import LOGS, write_json
from danlu.core.context import Context
from danlu.core.errors import UserError
from danlu.core.tasks import TASKS
from danlu.tune.config import TuneStage, setting
from danlu.tune.study import Study
from danlu.tune.trial import Trial, told

_POLL_SECONDS = 0.2


def run(ctx: Context, config: TuneStage) -> None:
    """Write `study.json`, every trial with its settings and score, and `resolved.json`, the best ones.

    Raises `UserError` when no trial came to a score.
    """
    study = Study.open(ctx, config.tune, higher_is_better=TASKS[config.task].higher_is_better)
    study.propose_first(_own_values(config))
    _search(ctx, config, study)
    best = study.best()
    if best is None:
        raise UserError(
            f"None of the {len(study.trials())} trials came to a score; the last one said: {study.last_failure()} "
            "Narrow tune.space, or try the settings by themselves with `danlu run` and no tune section."
        )
    study.keep_only(best)
    write_json(ctx.out / "study.json", study.as_json())
    write_json(ctx.out / "resolved.json", {".".join(setting(name)): value for name, value in best.params.items()})
    write_json(ctx.out / LOGS / "seconds.json", study.seconds())
    ctx.say(f"Best of {len(study.trials())} trials: {study.metric} {best.value:.4g} with {told(best.params)}.")


def _own_values(config: TuneStage) -> dict[str, Any]:
    """What the recipe itself says of the settings that are searched: the first trial, so that no search ends below."""
    sections = config.model_dump(mode="json")
    found = {}
    for name in config.tune.space:
        here: Any = sections
        for part in setting(name):
            here = here.get(part) if isinstance(here, dict) else None
        found[name] = here
    return found


def _search(ctx: Context, config: TuneStage, study: Study) -> None:
    """Keep `tune.workers` trials under way until enough are done, the hours are over, or the stage must stop."""
    wanted, workers = config.tune.trials, config.tune.workers
    ends = None if config.tune.hours is None else time.time() + 3600 * config.tune.hours
    running: list[Trial] = []
    with ctx.progress("trials", wanted, "trials") as bar:
        bar.checked = False
        bar.done = study.done()
        while True:
            reason = ctx.stop_reason()
            if reason is not None:
                _stop(running)
                ctx.stop(reason)
            for trial in [trial for trial in running if not trial.is_alive()]:
                running.remove(trial)
                _take_result(trial, running)
                ctx.say(trial.said)
                best = study.best()
                bar.advance(1, **({} if best is None else {f"best {study.metric}": best.value}))
            over = ends is not None and time.time() > ends and study.done() > 0
            while not over and len(running) < workers and study.done() + len(running) < wanted:
                number = study.done() + len(running) + 1
                running.append(Trial(ctx, config, study, number=number, threads=max(1, ctx.threads // workers)))
                running[-1].start()
            if not running:
                return
            time.sleep(_POLL_SECONDS)


def _take_result(trial: Trial, others: list[Trial]) -> None:
    try:
        trial.result()
    except BaseException:
        _stop(others)
        raise


def _stop(trials: list[Trial]) -> None:
    for trial in trials:
        trial.stop()
    for trial in trials:
        trial.join()
