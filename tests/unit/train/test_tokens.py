"""A language model reads its tokens from disk: same weights, found again by a resumed run, flat memory."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from danlu.core.errors import Interrupted
from danlu.learning import chunked
from danlu.learning.objectives import causal
from danlu.train import stage
from tests.unit.train.conftest import Attempt
from tests.unit.train.test_objectives import MODEL, conversations, write
from tests.unit.train.test_resume import content


@pytest.mark.parametrize("batching", [{}, {"tokens": 128, "packing": True}], ids=["padded", "packed"])
def test_tokens_on_disk_teach_what_tokens_in_memory_teach(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, batching: dict[str, Any]
) -> None:
    on_disk = attempt("disk", "generate", batching=batching)
    assert (on_disk.state / "tokens-train" / "shard.json").exists()
    make = stage.make_objective
    monkeypatch.setattr(stage, "make_objective", lambda *given: dataclasses.replace(make(*given), token_rows=None))
    in_memory = attempt("memory", "generate", batching=batching)
    assert not (in_memory.state / "tokens-train").exists()
    assert content(on_disk.out) == content(in_memory.out)


def test_a_resumed_run_tokenizes_nothing_again_and_half_a_shard_is_none(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attempt("whole", "generate")
    with pytest.raises(Interrupted):
        attempt("again", "generate", stop_after=9)
    with pytest.raises(Interrupted):
        attempt("half", "generate", stop_after=9)
    half = whole.state.parents[1] / "half" / "state" / "tokens-train"
    (half / "shard.json").unlink()
    (half / "tokens.bin").write_bytes(b"half")
    assert content(attempt("half", "generate").out) == content(whole.out)

    def fail(*_: object) -> None:
        raise AssertionError("the texts were tokenized again")

    monkeypatch.setattr(causal, "encode_documents", fail)
    assert content(attempt("again", "generate").out) == content(whole.out)


@pytest.mark.parametrize(
    "settings", [{"batching": {"packing": True}}, {"checkpointing": True}], ids=["packed", "spare"]
)
def test_a_loss_in_chunks_learns_the_same_and_resumes_bit_equal(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    settings |= {"max_samples": 96, "optimizer": {"kind": "sgd"}, "learning_rate": 0.05}
    plain = attempt("plain", "generate", **settings)
    monkeypatch.setattr(chunked, "MANY_LOGITS", 0)
    monkeypatch.setattr(chunked, "CHUNK_LOGITS", 10_000)
    whole = attempt("whole", "generate", **settings)
    with pytest.raises(Interrupted):
        attempt("resumed", "generate", stop_after=5, **settings)
    assert content(attempt("resumed", "generate", **settings).out) == content(whole.out)
    ours, theirs = (load_file(ctx.out / "model.safetensors") for ctx in (whole, plain))
    assert any((ours[name] != theirs[name]).any() for name in ours), "the loss was not taken in chunks"
    for name, weight in ours.items():
        assert (weight - theirs[name]).abs().max() < 1e-5, name


def test_what_an_attempt_warned_of_stands_in_the_logs_of_the_next(attempt: Attempt, tmp_path: Path) -> None:
    def warned(name: str) -> list[str]:
        log = tmp_path / name / "out" / "logs" / "warnings.jsonl"
        return [json.loads(row)["text"] for row in log.read_text().splitlines()]

    corpus = write(tmp_path / "talks", conversations(32), conversations(32), None)
    settings: dict[str, Any] = {"corpus": corpus, "model": {**MODEL, "max_length": 16}}
    attempt("whole", "generate", **settings)
    with pytest.raises(Interrupted):
        attempt("resumed", "generate", stop_after=5, **settings)
    attempt("resumed", "generate", **settings)
    assert warned("whole") == warned("resumed")
    assert any("longer than 16 tokens" in text for text in warned("whole"))


PEAKS = """
    import os, sys
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as parquet
    from tests.support import as_artifact, make_context
    from danlu.learning import corpus
    from danlu.train import stage
    from danlu.train.config import TrainStage

    # For each number of texts in the arguments the peak memory, in MiB, of what the train stage does up to its first
    # step; each in a process of its own, which ends where the loop would begin.
    folder = Path(sys.argv[1])
    words = [f"word{number} " for number in range(2_000)]
    config = {
        "task": "generate",
        "model": {"scratch": {"layers": 1, "width": 32, "heads": 2, "vocabulary": 1_000}, "max_length": 512},
        "train": {"precision": "float32", "batching": {"tokens": 4_096}},
    }

    def text(number):
        return "".join(words[(number * 7 + place * place) % 2_000] for place in range(1_000))

    def write(corpus, texts):
        (corpus / "train").mkdir(parents=True)
        (corpus / "validation").mkdir()
        schema = pa.schema({"text": pa.string()})
        for part, count in (("train", texts), ("validation", 20)):
            with parquet.ParquetWriter(corpus / part / "part-0.parquet", schema) as writer:
                for begin in range(0, count, 200):
                    rows = {"text": [text(number) for number in range(begin, min(count, begin + 200))]}
                    writer.write_table(pa.table(rows, schema=schema))
        (corpus / "card.json").write_text("{}")

    def at_the_first_step(ctx, training, state):
        training.examples.batch(training.order.batch(0), 0)
        status = Path("/proc/self/status").read_text().splitlines()
        print(len(training.examples.tokens), next(int(row.split()[1]) / 1024 for row in status if "VmHWM" in row))
        sys.stdout.flush()
        os._exit(0)

    stage.train = at_the_first_step
    corpus.CHARACTERS_IN_BLOCK = 1 << 17  # the few texts too are more than a block
    for texts in map(int, sys.argv[2:]):
        made = folder / f"corpus-{texts}"
        if not os.fork():
            write(made, texts)
            os._exit(0)
        os.wait()
        if not os.fork():
            ctx = make_context(folder / f"run-{texts}", stage="train", inputs={"data": as_artifact(made, "data")})
            stage.run(ctx, TrainStage.model_validate(config))
        os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
def test_memory_does_not_grow_with_the_tokens(tmp_path: Path) -> None:
    """With texts and tokens in memory it was 84 MiB more for eight times the tokens, 0.84 million."""
    command = [sys.executable, "-c", textwrap.dedent(PEAKS), str(tmp_path), "40", "320"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    (few, small), (many, large) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert many == pytest.approx(8 * few, rel=0.05)
    assert large - small < 40, done.stdout
