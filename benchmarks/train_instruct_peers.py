"""The peers of `benchmarks/train_instruct.py`. Runs in their environments, so it imports nothing of Danlu.

    python train_instruct_peers.py WORK

`WORK/job.json` says what to do; `WORK/model` receives the model and `WORK/result.json` the clock's readings. The
clock runs while `Trainer.train` does: not while Python starts, texts are cut into tokens or the model is saved.
"""

from __future__ import annotations

import importlib.machinery
import json
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peers import Timer, peak_bytes, resident_bytes

#: What is the same for all: the optimizer's way, so that what is learned can be compared. Saving is left out.
WARMUP_SHARE = 0.06
WEIGHT_DECAY = 0.01

#: What Hugging Face's Trainer, on which all of them stand, has for lengths that differ: batches of similar length.
BY_LENGTH = {"train_sampling_strategy": "group_by_length", "dataloader_pin_memory": False, "logging_strategy": "no"}

#: Settings of TRL by contender; what is not named has its default.
TRL: dict[str, dict[str, Any]] = {
    "trl": {},
    "trl-best": BY_LENGTH | {"gradient_checkpointing": False},
    "trl-padding-free": BY_LENGTH | {"gradient_checkpointing": False, "padding_free": True, "max_length": None},
    "trl-packing": BY_LENGTH | {"gradient_checkpointing": False, "packing": True},
}

#: The same of LLaMA-Factory. All of its examples say bf16.
LLAMAFACTORY: dict[str, dict[str, Any]] = {
    "llamafactory": {"bf16": True},
    "llamafactory-best": BY_LENGTH | {"bf16": True, "disable_gradient_checkpointing": True},
}


def main() -> None:
    """Do the job."""
    work = Path(sys.argv[1])
    job = json.loads((work / "job.json").read_text(encoding="utf-8"))
    import torch

    torch.set_num_threads(job["threads"])
    clock = _Clock()
    run = _trl if job["contender"] in TRL else _llamafactory
    run(job, work)
    (work / "result.json").write_text(json.dumps(clock.result()), encoding="utf-8")


class _Clock:
    """Measures `Trainer.train`, and looks at what it is given."""

    def __init__(self) -> None:
        from transformers import Trainer

        self._train = Timer(Trainer.train)
        self._facts: dict[str, Any] = {}

        def train(trainer: Any, *arguments: Any, **named: Any) -> Any:
            rows = trainer.train_dataset
            self._facts = {
                "tokens": sum(map(len, rows["input_ids"])),
                "targets": sum(label != -100 for labels in rows["labels"] for label in labels[1:]),
                "before_bytes": resident_bytes(),
            }
            answer = self._train(trainer, *arguments, **named)
            self._facts |= {"peak_bytes": peak_bytes(), "steps": trainer.state.global_step}
            return answer

        Trainer.train = train

    def result(self) -> dict[str, Any]:
        return self._facts | {"seconds": self._train.seconds, "cpu_seconds": self._train.cpu_seconds}


def _common(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What both take, since both hand it to Hugging Face's Trainer."""
    steps = math.ceil(job["samples"] / job["batch_size"])
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": job["batch_size"],
        "num_train_epochs": 1,
        "learning_rate": job["rate"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": math.ceil(WARMUP_SHARE * steps),
        "weight_decay": WEIGHT_DECAY,
        "seed": job["seed"],
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
    }


def _trl(job: dict[str, Any], work: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [json.loads(line) for line in Path(job["train"]).read_text(encoding="utf-8").splitlines()]
    settings = {"assistant_only_loss": True, "max_length": job["max_length"]} | TRL[job["contender"]]
    trainer = SFTTrainer(
        model=job["base"],
        args=SFTConfig(**_common(job, work / "trainer"), **settings),
        train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in rows]),
    )
    trainer.train()
    trainer.save_model(str(work / "model"))


def _llamafactory(job: dict[str, Any], work: Path) -> None:
    # It imports torchaudio to read sounds. The wheel of that does not load beside a CPU build of torch, and no sound is
    # read here.
    audio = types.ModuleType("torchaudio")
    audio.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = audio
    from llamafactory.train.tuner import run_exp

    (work / "data").mkdir()
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    described = {
        "file_name": job["train"],
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": tags | {"system_tag": "system"},
    }
    (work / "data" / "dataset_info.json").write_text(json.dumps({"train": described}), encoding="utf-8")
    run: Callable[[dict[str, Any]], None] = run_exp
    run(
        {
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "full",
            "model_name_or_path": job["base"],
            "dataset": "train",
            "dataset_dir": str(work / "data"),
            "cutoff_len": job["max_length"],
        }
        | _common(job, work / "model")
        | LLAMAFACTORY[job["contender"]]
    )


if __name__ == "__main__":
    main()
