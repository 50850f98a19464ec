"""The search itself: what Optuna keeps of it, behind the few questions that the stage asks."""

from __future__ import annotations

import json
import logging
import secrets
import warnings
from collections.abc import Mapping
from typing import Any

from danlu.core.children import forget
from danlu.core.context import Context
from danlu.core.errors import UserError, first_line
from danlu.core.lazy import need
from danlu.core.store import write_atomically
from danlu.core.urls import filled, told, without_secrets
from danlu.tune.config import Choice, Space, TuneConfig

#: The stage whose runs are the trials.
TRAIN = "train"

#: Trials that run to their end before any is compared with the others, and validations that each may have in any case:
#: the first scores of a training say little.
_TRIALS_BEFORE_PRUNING, _VALIDATIONS_BEFORE_PRUNING = 3, 2

#: Finished trials from which it is said which settings mattered.
_TRIALS_BEFORE_IMPORTANCE = 8

#: What a trial of ours is marked with: whose it is, what went wrong, its checkpoint, its time, its score's name.
_OWNER, _FAILURE, _PRINT, _MADE = "owner", "failure", "fingerprint", "made"
_SECONDS, _METRIC = "seconds", "metric"


class Study:
    """One search. Trials are Optuna's own; the methods may be called from several threads."""

    def __init__(self, ctx: Context, config: TuneConfig, study: Any, owner: str) -> None:
        self._ctx = ctx
        self._config = config
        self._study = study
        self._owner = owner

    @classmethod
    def open(cls, ctx: Context, config: TuneConfig, *, higher_is_better: bool) -> Study:
        """Begin a search, or go on with the one that `ctx.state` or `tune.storage` has of this fingerprint."""
        optuna = need("optuna", extra="tune")
        optuna.logging.disable_default_handler()
        logging.getLogger("alembic").setLevel(logging.WARNING)
        place = "the workspace" if config.storage is None else without_secrets(config.storage)
        url, secrets = (
            filled(config.storage, "tune.storage")
            if config.storage
            else (f"sqlite:///{ctx.state / 'study.sqlite'}", set())
        )
        try:
            study = optuna.create_study(
                storage=url,
                study_name=f"danlu-{ctx.fingerprint}",
                direction="maximize" if higher_is_better else "minimize",
                pruner=optuna.pruners.MedianPruner(
                    n_startup_trials=_TRIALS_BEFORE_PRUNING, n_warmup_steps=_VALIDATIONS_BEFORE_PRUNING
                ),
                load_if_exists=True,
            )
        except Exception as error:  # SQLAlchemy's, the driver's, Optuna's own: all about the storage
            why = told(first_line(error, 2_000), secrets)
            # Not `from error`: the driver's own error may hold the URL.
            raise UserError(
                f"The search cannot be kept in {place}: {why[:200]}. Give tune.storage a database that can be reached, "
                "or leave it out: then it is kept in the workspace."
            ) from None
        found = cls(ctx, config, study, _owner(ctx))
        found._begin_again()
        return found

    def _begin_again(self) -> None:
        """Put the trials of ours that were under way when the stage ended back in the queue; they go on."""
        optuna = need("optuna", extra="tune")
        for trial in self._study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            if trial.user_attrs.get(_OWNER) == self._owner:
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                self._study.enqueue_trial(trial.params)

    def propose_first(self, values: Mapping[str, Any]) -> None:
        """Try these settings first, where nothing was tried yet and the space has them."""
        if not self._study.trials and all(_holds(space, values[name]) for name, space in self._config.space.items()):
            self._study.enqueue_trial(dict(values))

    def ask(self) -> Any:
        """The next trial. What is proposed depends on the seed and on the trials done, not on what was interrupted."""
        optuna = need("optuna", extra="tune")
        under_way = len(self._study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(
                seed=self._config.seed + self.done() + under_way,
                multivariate=True,
                constant_liar=self._config.workers > 1,
            )
        trial = self._study.ask({name: _distribution(space) for name, space in self._config.space.items()})
        trial.set_user_attr(_OWNER, self._owner)
        return trial

    def score(self, trial: Any, value: float, *, metric: str, fingerprint: str, seconds: float, made: bool) -> None:
        """The trial ran to its end. `made`: its checkpoint is new, and may be removed when another is better."""
        before = self.best()
        trial.set_user_attr(_METRIC, metric)
        trial.set_user_attr(_SECONDS, round(seconds, 3))
        trial.set_user_attr(_PRINT, fingerprint)
        trial.set_user_attr(_MADE, made)
        self._study.tell(trial, value)
        after = self.best()
        for other in (before, self._study.trials[trial.number]):
            if other is not None and after is not None and other.number != after.number:
                self._forget(other)

    def prune(self, trial: Any, seconds: float) -> None:
        """The trial was ended because others were better at the same step."""
        optuna = need("optuna", extra="tune")
        trial.set_user_attr(_SECONDS, round(seconds, 3))
        self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)

    def fail(self, trial: Any, why: str) -> None:
        """The trial cannot be done with these settings."""
        optuna = need("optuna", extra="tune")
        trial.set_user_attr(_FAILURE, why)
        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)

    def is_poor(self, trial: Any, number: int, value: float) -> bool:
        """Note the score of the trial's validation `number`, counted from 1; whether the trial should end there."""
        trial.report(value, number)
        return self._config.prune and bool(trial.should_prune())

    def trials(self) -> list[Any]:
        """All trials that ended by themselves, in order."""
        optuna = need("optuna", extra="tune")
        states = optuna.trial.TrialState
        ended = self._study.get_trials(deepcopy=False, states=[states.COMPLETE, states.PRUNED, states.FAIL])
        return [trial for trial in ended if trial.state != states.FAIL or _FAILURE in trial.user_attrs]

    def done(self) -> int:
        return len(self.trials())

    def best(self) -> Any | None:
        """The finished trial with the best score, the earliest of equal ones; None where there is none."""
        optuna = need("optuna", extra="tune")
        finished = self._study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
        sign = 1 if self._higher_is_better else -1
        return max(finished, key=lambda trial: (sign * trial.value, -trial.number), default=None)

    @property
    def _higher_is_better(self) -> bool:
        return bool(self._study.direction.name == "MAXIMIZE")

    @property
    def metric(self) -> str:
        best = self.best()
        return str(best.user_attrs[_METRIC]) if best is not None else "score"

    def last_failure(self) -> str:
        return next(
            (trial.user_attrs[_FAILURE] for trial in reversed(self.trials()) if trial.user_attrs.get(_FAILURE)), ""
        )

    def keep_only(self, best: Any) -> None:
        """Remove the checkpoints of all other trials of ours."""
        for trial in self.trials():
            if trial.number != best.number:
                self._forget(trial)

    def _forget(self, trial: Any) -> None:
        fingerprint, best = trial.user_attrs.get(_PRINT), self.best()
        ours = trial.user_attrs.get(_OWNER) == self._owner and trial.user_attrs.get(_MADE)
        # Equal settings, tried twice, are one checkpoint.
        if fingerprint and ours and best is not None and fingerprint != best.user_attrs.get(_PRINT):
            forget(self._ctx, TRAIN, fingerprint)

    def as_json(self) -> dict[str, Any]:
        """Everything that the same search gives again: settings and scores."""
        best = self.best()
        assert best is not None
        return {
            "metric": self.metric,
            "higher_is_better": self._higher_is_better,
            "best": _told(best),
            "trials": [_told(trial) for trial in self.trials()],
            "importance": self._importance(),
            "space": {name: space.model_dump(mode="json") for name, space in self._config.space.items()},
        }

    def seconds(self) -> dict[str, float]:
        """Seconds of each trial, by its place in `as_json`."""
        return {str(place): trial.user_attrs.get(_SECONDS, 0.0) for place, trial in enumerate(self.trials())}

    def _importance(self) -> dict[str, float] | None:
        """How much of the scores' variation each setting explains, adding up to 1; None where it cannot be said.

        PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).
        """
        optuna = need("optuna", extra="tune")
        finished = [trial for trial in self.trials() if trial.state == optuna.trial.TrialState.COMPLETE]
        if len(self._config.space) < 2 or len(finished) < _TRIALS_BEFORE_IMPORTANCE:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                found = optuna.importance.get_param_importances(
                    self._study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
                )
        except (ValueError, RuntimeError):  # too few trials, or all with one score
            return None
        return {name: round(float(value), 6) for name, value in found.items()}


def _told(trial: Any) -> dict[str, Any]:
    return {
        "state": {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name],
        "value": trial.value if trial.state.name == "COMPLETE" else None,
        "settings": dict(trial.params),
        "course": [[step, value] for step, value in sorted(trial.intermediate_values.items())],
        "failure": trial.user_attrs.get(_FAILURE),
    }


def _distribution(space: Space) -> Any:
    optuna = need("optuna", extra="tune")
    if isinstance(space, Choice):
        return optuna.distributions.CategoricalDistribution(space.choices)
    if space.whole:
        step = 1 if space.step is None else int(space.step)
        return optuna.distributions.IntDistribution(int(space.low), int(space.high), log=space.log, step=step)
    return optuna.distributions.FloatDistribution(
        float(space.low), float(space.high), log=space.log, step=None if space.step is None else float(space.step)
    )


def _holds(space: Space, value: Any) -> bool:
    if isinstance(space, Choice):
        return any(value == choice and type(value) is type(choice) for choice in space.choices)
    if isinstance(value, bool) or not isinstance(value, int | float) or not space.low <= value <= space.high:
        return False
    return space.step is None or abs(round((value - space.low) / space.step) * space.step - (value - space.low)) < 1e-12


def _owner(ctx: Context) -> str:
    """A name for this search on this machine, which a resume finds again."""
    path = ctx.state / "owner.json"
    if not path.exists():
        write_atomically(path, json.dumps(secrets.token_hex(8)))
    return str(json.loads(path.read_text(encoding="utf-8")))
