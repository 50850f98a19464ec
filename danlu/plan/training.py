"""The training pass of a job: how much it sees, the work of it, and its memory at the peak. Formulas, nothing measured.

What differs between objectives, optimizers, methods and regularisers is looked up beside each of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from danlu.learning.objectives.config import START, Cost, aim_of, cost_of
from danlu.learning.objectives.table import KINDS, Kind
from danlu.learning.optimizers.table import MAKERS
from danlu.learning.regularizers.adversary import Adversary
from danlu.plan.config import PlanStage
from danlu.plan.corpus import Corpus
from danlu.plan.reading import Look
from danlu.plan.shape import HEADS, Head, Shape
from danlu.plan.tokens import Places, Tokens, first_batches, training_course, validation_batches
from danlu.plan.trained import Trained, trained_by
from danlu.plan.work import Batches, Memory, Work, asked_memory, forward, scoring_memory, training, training_memory

#: Resident memory of a process that has imported torch, transformers and accelerate, and holds the texts.
FRAMEWORK_BYTES = 0.45e9
#: What training holds beside: the texts, and freed memory that the allocator keeps. Fitted to three runs.
TRAINING_BYTES = 0.2e9
#: What learning a tokenizer leaves behind in the process that trains from scratch; fitted to two runs.
TOKENIZER_BYTES = 0.45e9
#: What each further length of batch leaves behind on a CPU: kernels that oneDNN makes for its shapes and keeps (1,024
#: of them at most), and holes in the heap. Fitted to three training runs.
BYTES_PER_LENGTH = 11e6
_MOST_LENGTHS = 96


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Another model that the objective asks: its shape and parameters."""

    shape: Shape
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many rows there are, and how many of them each part of the road sees."""

    config: PlanStage
    look: Look
    corpus: Corpus

    @property
    def usable(self) -> int:
        """Rows that are expected to remain: the different texts among all rows, or among the `data.max_rows` drawn."""
        return max(1, self.look.distinct_among(self.drawn))

    @property
    def drawn(self) -> int:
        """Rows that are used at all: the data stage draws `data.max_rows` of them before it drops any."""
        limit = self.config.data.max_rows
        return self.look.rows if limit is None else min(limit, self.look.rows)

    @property
    def train_rows(self) -> int:
        return self.corpus.train

    @property
    def validation_rows(self) -> int:
        limit = self.config.train.validation_rows
        return self.corpus.validation if limit is None else min(self.corpus.validation, limit)

    @property
    def test_rows(self) -> int:
        limit = self.config.evaluate.max_rows
        return self.corpus.test if limit is None else min(self.corpus.test, limit)


@dataclass(frozen=True, kw_only=True)
class Job(Amounts):
    """Everything a prediction is made of. `labels`: classes, 0 where the model has none.

    `models`: the models that the objective's section names, by field. `questions`: those of the recipe's sheet.
    """

    tokens: Tokens
    shape: Shape
    parameters: int
    labels: int
    models: dict[str, Asked]
    precision: str
    threads: int
    questions: int = 0

    @property
    def cost(self) -> Cost:
        """What the objective says of its cost."""
        return cost_of(aim_of(self.config.task, self.config.train.objective))

    @property
    def head(self) -> Head:
        """What stands behind the model's layers."""
        return HEADS[self._kind.head]

    @property
    def texts(self) -> int:
        """Texts of a row that an engine reads one by one; those of a question are read together."""
        return min(len(self._kind.texts), self._kind.group)

    @property
    def _kind(self) -> Kind:
        return KINDS[aim_of(self.config.task, self.config.train.objective).kind]

    @property
    def generates(self) -> bool:
        """Whether every token is scored against the whole vocabulary."""
        return self.head.tokens

    @property
    def trained(self) -> Trained:
        """What `train.method` trains of the model."""
        return trained_by(self.config.train.method, self.shape, self.parameters, generates=self.generates)

    @property
    def optimizer_bytes(self) -> float:
        """What the optimizer holds."""
        optimizer, trained = self.config.train.optimizer, self.trained
        maker = MAKERS[optimizer.kind]
        return maker.held(optimizer) * trained.trainable + maker.held_a_line * trained.lines

    @property
    def sums(self) -> bool:
        """Whether even a step of one piece adds up gradients of the output layer.

        With an adversary it has two backward passes; beside a teacher each chunk has a gradient of its own; compiled, a
        table that is the embedding too gets one from either end.
        """
        compiled = self.config.train.compile and self.shape.tied
        return self.adversary > 0 or self.cost.beside is not None or compiled

    @property
    def mixed(self) -> bool:
        return self.precision != "float32"

    @property
    def adversary(self) -> int:
        """Steps in which a disturbance is searched; 0 without."""
        adversary = Adversary.of(self.config.train.regularize.adversarial)
        return 0 if adversary is None else adversary.steps


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training pass of a job: how much it sees, and the work of it.

    `before`: what reads every example before the first step; `beside`: what another model does in every step, in
    float32; `scoring`: validations. All three are forward passes. `traced`: `memory` is from a trace of the real step.
    """

    samples: int
    steps: int
    tokens: int
    packed: bool
    pieces: Batches
    work: Work
    before: Work
    beside: Work
    scoring: Work
    validations: int
    memory: Memory
    places: Places
    traced: bool = False


def plan_training(job: Job) -> Training:
    """Work and memory of the whole training, validations included."""
    settings = job.config.train
    course = training_course(job.config, job.tokens)
    validation = validation_batches(job.config, job.tokens, job.validation_rows)
    before, asking = _before(job)
    beside = Work()
    if job.cost.beside is not None:
        teacher = job.models[job.cost.beside]
        beside = forward(teacher.shape, course.pieces, generates=job.generates)
    return Training(
        samples=course.samples,
        steps=course.steps,
        tokens=course.tokens,
        packed=course.packed,
        pieces=course.pieces,
        work=training(
            job.shape,
            job.trained,
            course.pieces,
            generates=job.generates,
            mixed=job.mixed,
            checkpointing=settings.checkpointing,
            steps=course.steps,
            moved=MAKERS[settings.optimizer.kind].moved(settings.optimizer),
            adversary=job.adversary,
        ),
        before=before,
        # The disturbed inputs are the student's alone, but its teacher is asked each time.
        beside=beside.times(1 + job.adversary),
        scoring=forward(job.shape, validation.times(course.validations), generates=job.generates),
        validations=course.validations,
        places=course.places,
        memory=_memory(job, course.held, validation, asking, several=course.places.several),
    )


def _before(job: Job) -> tuple[Work, Memory | None]:
    """What is read before the first step: the work, and the memory meanwhile; nothing for most objectives."""
    cost = job.cost
    if cost.before is None:
        return Work(), None
    of_training, held_out = first_batches(job.tokens, cost, job.validation_rows)
    own = cost.before == START
    asked = Asked(shape=job.shape, parameters=job.parameters) if own else job.models[cost.before]
    work = forward(asked.shape, of_training, generates=job.generates)
    work += forward(asked.shape, held_out, generates=job.generates)
    there = 0.0 if own else 4.0 * job.parameters
    memory = asked_memory(asked.shape, asked.parameters, of_training, generates=job.generates)
    return work, Memory(
        weights=there,
        gradients=0.0,
        optimizer=0.0,
        activations=0.0,
        framework=_framework(job, of_training),
        teacher=memory,
    )


def _framework(job: Job, batches: Batches) -> float:
    """What the process holds beside the model: libraries, texts, kernels for each length, and columns of examples."""
    framework = FRAMEWORK_BYTES + TRAINING_BYTES + BYTES_PER_LENGTH * min(batches.lengths, _MOST_LENGTHS)
    if job.config.model.scratch is not None:
        framework += TOKENIZER_BYTES
    values = job.cost.values + (job.labels if job.cost.values_of_classes else 0)
    examples = job.tokens.examples + job.tokens.held_out_examples(job.validation_rows)
    return framework + 4.0 * values * examples


def _memory(job: Job, pieces: Batches, validation: Batches, before: Memory | None, *, several: bool) -> Memory:
    """The peak: of a step, of a validation, or of what is read before the first step; of all processes together.

    `several`: a step has more than one piece.
    """
    beside = None if job.cost.beside is None else job.models[job.cost.beside]
    framework = _framework(job, pieces)
    step = training_memory(
        job.shape,
        job.parameters,
        pieces,
        trained=job.trained,
        generates=job.generates,
        precision=job.precision,
        framework=framework,
        optimizer=job.optimizer_bytes,
        checkpointing=job.config.train.checkpointing,
        adversary=job.adversary > 0,
        teacher=0.0
        if beside is None
        else asked_memory(beside.shape, beside.parameters, pieces, generates=job.generates),
        summed=several or job.sums,
    )
    scored = scoring_memory(
        job.shape,
        job.parameters,
        validation,
        trained=job.trained,
        generates=job.generates,
        framework=framework,
        optimizer=job.optimizer_bytes,
        teacher=0.0 if beside is None else 4.0 * beside.parameters,
    )
    peaks = [step, scored] + ([] if before is None else [before])
    return max(peaks, key=lambda memory: memory.total).times(job.config.train.processes)
