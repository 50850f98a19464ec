"""From work to seconds and bytes: what each stage takes on this machine.

Constants stand beside what they were fitted to; docs/plan.md says how, and how far off they were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from danlu.metrics.limits import MOST_NAIVE_ROWS
from danlu.plan.calibrate import Rates
from danlu.plan.interval import Interval, add, largest
from danlu.plan.tokens import scoring_batches
from danlu.plan.training import FRAMEWORK_BYTES, Amounts, Job, Training
from danlu.plan.work import Batches, Work, forward

# Seconds of a piece of work, as factors on the measured rates; fitted to 13 configurations of the real training step.
GEMM_FACTOR = 0.96
OPTIMIZER_FACTOR = 0.97
ELEMENT_FACTOR = 0.53
#: Passes over the output values in float32: softmax, loss and their gradients.
LOGIT_PASSES = 53.0
SECONDS_PER_LAYER = 1.9e-3
# The same for a forward pass alone.
FORWARD_ELEMENT_FACTOR = 0.11
FORWARD_LOGIT_PASSES = 23.0
FORWARD_SECONDS_PER_LAYER = 0.3e-3

#: How far a prediction of training may be off, as factors; from the errors in docs/plan.md, and further up because
#: other programs on the machine make it slower and nothing makes it faster.
TRAINING_SPREAD = (0.7, 1.7)
OTHER_SPREAD = (0.5, 2.2)
MEMORY_SPREAD = (0.85, 1.25)
OTHER_MEMORY_SPREAD = (0.7, 1.5)


def seconds_of_training(work: Work, rates: Rates) -> float:
    """Seconds of forward, backward and update here: products, updates, everything else, calls."""
    return (
        GEMM_FACTOR * work.flops / rates.gemm
        + OPTIMIZER_FACTOR * work.optimizer_bytes / rates.stream
        + ELEMENT_FACTOR * work.elements / rates.elementwise
        + LOGIT_PASSES * 4 * work.logits / rates.stream
        + SECONDS_PER_LAYER * work.layers
    )


def seconds_of_scoring(work: Work, rates: Rates, *, mixed: bool) -> float:
    """Seconds of a forward pass here, without gradients."""
    return (
        GEMM_FACTOR * work.flops / (rates.gemm if mixed else rates.gemm32)
        + FORWARD_ELEMENT_FACTOR * work.elements / rates.elementwise
        + FORWARD_LOGIT_PASSES * 4 * work.logits / rates.stream
        + FORWARD_SECONDS_PER_LAYER * work.layers
    )


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What one stage takes: seconds of wall time, and bytes at its peak."""

    seconds: Interval
    memory: Interval


# What the other stages cost (seconds of a free core, bytes, units a second), fitted to runs of recipes like the demo's;
# see docs/plan.md. Tables by "generates or not" where the tasks differ.
_START = {
    "clean": 1.5,
    "duplicates": 0.4,
    "data": 0.8,
    "train": 5.0,
    "compress": 4.0,
    "evaluate": 4.0,
    "champion": 3.0,
    "questions": 2.0,
    "speed": 4.0,
    "release": 0.3,
}
_DISK_BYTES_PER_SECOND = 4e8
_SECONDS_PER_ROW = {"clean": 3.5e-5, "duplicates": 1e-5, "data": 2e-5}
_SECONDS_PER_CHARACTER = {"clean": 3e-7, "duplicates": 3e-8, "data": 4e-7}
_TFIDF_SECONDS_PER_CHARACTER = 8e-7
_TOKENIZER_CHARACTERS_PER_SECOND = 2e6
_EXPORT_SECONDS = {False: 5.0, True: 8.0}
_EXPORT_SECONDS_PER_LAYER = 0.7
_EXPORT_BYTES_PER_SECOND = 5e7
_RESAMPLE_SECONDS_PER_ROW = 5e-7
_BASELINE_SECONDS_PER_CHARACTER = {False: 2e-6, True: 2e-6}
_MOST_ROWS_OF_OTHER_FORMS = 1_000
_REQUESTS = 210
_TOKENS_PER_REQUEST = {False: 1, True: 32}
_DATA_BYTES = {"clean": 0.35e9, "duplicates": 0.22e9, "data": 0.36e9}
_DATA_BYTES_PER_CHARACTER = {"clean": 20.0, "duplicates": 10.0, "data": 40.0}
_RELEASE_BYTES = 0.04e9
#: The shortest that a search is taken to be of the time of all its trainings in full: most trials ended halfway.
_PRUNED_SHARE = 0.5
#: What the stages after training hold beside `FRAMEWORK_BYTES`: exporters, the baseline's features, kernels.
_EXPORT_BYTES = 0.3e9
_ENGINE_BYTES = 0.1e9
_EVIDENCE_BYTES = 0.25e9


def predict_stages(job: Job, plan: Training, rates: Rates) -> dict[str, StageCost]:
    """Seconds and peak memory of every stage on this machine, in the order of the road."""
    gathers = _members(job) > 1
    makers = {
        "tune": lambda: _tune(job, plan, rates),
        "train": lambda: _train(job, plan, rates) if _trains_anew(job) else rough(_START["train"] * gathers, 0.0),
        "compress": lambda: _together(job, _compress(job, rates)),
        "evaluate": lambda: _together(job, _evaluate(job, plan, rates)),
        "champion": lambda: _together(job, _champion(job, rates)),
        "questions": lambda: _questions(job, rates),
        "folds": lambda: _folds(job, plan, rates),
        "speed": lambda: _together(job, _speed(job, rates)),
        "release": release,
    }
    costs = of_data(job)
    left_out = {name for name in ("tune", "champion", "questions", "folds") if getattr(job.config, name) is None}
    costs |= {stage: make() for stage, make in makers.items() if stage not in left_out}
    return {stage: stretched(cost, rates.share) for stage, cost in costs.items()}


def of_data(amounts: Amounts) -> dict[str, StageCost]:
    """What the stages before training take."""
    return {"clean": _clean(amounts), "duplicates": _duplicates(amounts), "data": _data(amounts)}


def release() -> StageCost:
    """What the last stage takes."""
    return rough(_START["release"], _RELEASE_BYTES)


def stretched(cost: StageCost, share: float) -> StageCost:
    """The cost with its upper bound moved by what a busy machine would add: `share` of its time was free."""
    seconds = cost.seconds
    longer = Interval(value=seconds.value, low=seconds.low, high=seconds.high / max(share, 0.05))
    return StageCost(seconds=longer, memory=cost.memory)


def _clean(job: Amounts) -> StageCost:
    return _of_texts("clean", job.look.rows, job.look.rows * job.look.characters)


def _duplicates(job: Amounts) -> StageCost:
    return _of_texts("duplicates", job.drawn, job.drawn * job.look.characters)


def _data(job: Amounts) -> StageCost:
    cost = _of_texts("data", job.drawn, job.drawn * job.look.characters)
    if job.config.task != "classify":
        return cost
    naive = 2 * _TFIDF_SECONDS_PER_CHARACTER * min(MOST_NAIVE_ROWS, job.drawn) * job.look.characters
    return rough(cost.seconds.value + naive, cost.memory.value)


def _of_texts(stage: str, rows: int, characters: float) -> StageCost:
    """A stage that looks at every row once."""
    seconds = _START[stage] + _SECONDS_PER_ROW[stage] * rows + _SECONDS_PER_CHARACTER[stage] * characters
    return rough(seconds, _DATA_BYTES[stage] + _DATA_BYTES_PER_CHARACTER[stage] * min(characters, 1e8))


def _train(job: Job, plan: Training, rates: Rates) -> StageCost:
    trained = job.trained
    # The best weights at each validation and the last state; then the model, twice.
    written = 4.0 * (plan.validations + 1) * trained.trainable + 8.0 * job.parameters
    seconds = (
        _START["train"]
        + seconds_of_training(plan.work, rates)
        + seconds_of_scoring(plan.scoring + plan.before, rates, mixed=job.mixed)
        + seconds_of_scoring(plan.beside, rates, mixed=False)
        + written / _DISK_BYTES_PER_SECOND
        + job.usable * job.look.characters / _TOKENIZER_CHARACTERS_PER_SECOND
    )
    return StageCost(
        seconds=Interval.around(seconds, *TRAINING_SPREAD), memory=Interval.around(plan.memory.total, *MEMORY_SPREAD)
    )


def _trains_anew(job: Job) -> bool:
    """Whether training runs by itself: after a search its best trial is there already, if it had all threads; and the
    models of folds that are released together are trained by them.
    """
    return _members(job) == 1 and (job.config.tune is None or job.config.tune.workers > 1)


def _together(job: Job, cost: StageCost) -> StageCost:
    """What models that answer together take: each as long as one alone."""
    return StageCost(seconds=cost.seconds.times(_members(job)), memory=cost.memory)


def _members(job: Job) -> int:
    folds = job.config.folds
    return 1 if folds is None else folds.members(job.config.data.split.folds)


def _tune(job: Job, plan: Training, rates: Rates) -> StageCost:
    """So many trainings. Trials that are ended early make it shorter, larger models in the space longer.

    Several at once share the threads: neither gain nor loss is counted.
    """
    tune, one = job.config.tune, _train(job, plan, rates)
    assert tune is not None
    seconds = one.seconds.times(tune.trials)
    low = seconds.low * (_PRUNED_SHARE if tune.prune else 1.0)
    most = math.inf if tune.hours is None else 3600 * tune.hours
    seconds = Interval(
        value=min(seconds.value, most), low=min(low, most), high=min(seconds.high, most + one.seconds.high)
    )
    return StageCost(seconds=seconds, memory=one.memory.times(tune.workers))


def _folds(job: Job, plan: Training, rates: Rates) -> StageCost:
    """So many times a training, its export and its evidence; that folds train on fewer rows is not counted."""
    folds = job.config.folds
    assert folds is not None
    each = [_train(job, plan, rates), _compress(job, rates), _evaluate(job, plan, rates)]
    seconds = add(cost.seconds for cost in each).times(folds.runs or job.config.data.split.folds or 1)
    return StageCost(seconds=seconds, memory=largest(cost.memory for cost in each))


def _compress(job: Job, rates: Rates) -> StageCost:
    weights = 4.0 * job.parameters
    forms = job.config.compress.forms
    rows = min(job.config.compress.parity_rows, job.corpus.validation)
    seconds = _START["compress"] + (1 + len(forms)) * (_scoring(job, rows, rates) + weights / _DISK_BYTES_PER_SECOND)
    exports = any(form != "torch" for form in forms)
    if exports:
        seconds += _EXPORT_SECONDS[job.generates] + _EXPORT_SECONDS_PER_LAYER * job.shape.layers
        seconds += weights / _EXPORT_BYTES_PER_SECOND
    return rough(seconds, FRAMEWORK_BYTES + (_EXPORT_BYTES + 6 * weights if exports else _ENGINE_BYTES + 3 * weights))


def _evaluate(job: Job, plan: Training, rates: Rates) -> StageCost:
    settings, rows = job.config.evaluate, job.test_rows
    others = (len(job.config.compress.forms) - 1) * min(rows, _MOST_ROWS_OF_OTHER_FORMS)
    seconds = _START["evaluate"] + _scoring(job, rows + others, rates)
    seconds += _RESAMPLE_SECONDS_PER_ROW * settings.resamples * rows
    if settings.baseline:
        learned = job.train_rows + min(job.train_rows, plan.samples)
        seconds += _BASELINE_SECONDS_PER_CHARACTER[job.generates] * learned * job.look.characters
    return rough(seconds, FRAMEWORK_BYTES + _EVIDENCE_BYTES + 12.0 * job.parameters)


def _champion(job: Job, rates: Rates) -> StageCost:
    """The version that is live is taken to be of this model's size; where none is yet, the stage takes a moment."""
    rows = job.test_rows
    seconds = _START["champion"] + _scoring(job, rows, rates)
    seconds += 2 * _RESAMPLE_SECONDS_PER_ROW * job.config.evaluate.resamples * rows
    return rough(seconds, FRAMEWORK_BYTES + _ENGINE_BYTES + 12.0 * job.parameters)


def _questions(job: Job, rates: Rates) -> StageCost:
    """Every answer is taken to be as long as it may be: most end before, so this is a bound rather than a guess."""
    asked = job.config.questions
    assert asked is not None
    one = forward(job.shape, Batches.of([1], [1]), generates=True)
    a_token = seconds_of_scoring(one, rates, mixed=False) + 4.0 * job.parameters / rates.stream
    seconds = _START["questions"] + job.questions * min(asked.max_new_tokens, job.tokens.max_length) * a_token
    return rough(seconds, FRAMEWORK_BYTES + _ENGINE_BYTES + 12.0 * job.parameters)


def _speed(job: Job, rates: Rates) -> StageCost:
    passes = len(job.config.compress.forms) * _REQUESTS * _TOKENS_PER_REQUEST[job.generates]
    one = forward(job.shape, Batches.of([1], [1 if job.generates else round(job.tokens.per_text)]), generates=True)
    weights_read = 4.0 * job.parameters / rates.stream
    seconds = _START["speed"] + passes * (seconds_of_scoring(one, rates, mixed=False) + weights_read)
    if not job.generates:
        seconds += len(job.config.compress.forms) * _scoring(job, _REQUESTS, rates)
    return rough(seconds, FRAMEWORK_BYTES + _ENGINE_BYTES + 12.0 * job.parameters)


def _scoring(job: Job, rows: int, rates: Rates) -> float:
    """Seconds in which an engine scores `rows` texts in float32."""
    batches = scoring_batches(job.tokens, rows * job.texts, 32)
    return seconds_of_scoring(forward(job.shape, batches, generates=job.generates), rates, mixed=False)


def rough(seconds: float, memory: float) -> StageCost:
    """A cost whose formula is known to be rough."""
    return StageCost(
        seconds=Interval.around(seconds, *OTHER_SPREAD), memory=Interval.around(memory, *OTHER_MEMORY_SPREAD)
    )
