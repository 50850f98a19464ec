"""Instruction tuning on texts of mixed length: Danlu's train stage against TRL and LLaMA-Factory, on a CPU.

    python benchmarks/train_instruct.py [--quick] [--json FILE] [--report FILE]

Peers run in environments of their own, which the script makes in a cache folder the first time; one that cannot be
installed is named and left out. Conversations, base model (Llama-shaped, weights from a seed), tokenizer, chat
template, samples (each once), batch size, optimizer (AdamW, weight decay 0.01, clipping at 1), peak rate, form of the
schedule (cosine, 6 % warm-up) and seed are the same for all; loss on the answers alone. That all learn from the same
tokens is checked. Each run is a process of its own; the contenders take turns; medians are compared. Contenders:

    danlu               the train stage as `danlu run` runs it, nothing set but the above
    trl                 SFTTrainer with its documented defaults (random order, padding, bf16, activations computed anew)
    trl-best            SFTTrainer with its best settings for this job: no activations computed anew, group by length
    trl-padding-free    as trl-best, and the texts of a batch end to end instead of side by side with padding (its
                        documentation wants FlashAttention for that, but it runs without)
    llamafactory        LLaMA-Factory with its documented defaults, and bf16 as in all of its examples
    llamafactory-best   LLaMA-Factory with the same as trl-best
    trl-packing         only with --contenders: as trl-best, and best-fit packing, which makes other batches of fewer
                        steps: not the same work

Cases: `mixed`, texts of 20 to 1,000 tokens; `vocabulary`, a small model with 262,144 tokens; `overhead`, what Danlu's
loop takes beside the bare model's forward, backward and update on the same batches (the weights at the end must be the
same). Tokens/s are real ones, padding not counted, of the training loop alone: no start-up, validation or saving. Peak
memory is that of the whole process. The held-out loss is taken by the same code for all, in float32, on answers.
Ratios by CPU time are the ones to trust on a machine that others use too.

Needs: pip install 'danlu[train]'.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import MIB, cache_folder, environment, in_turns, thread_settings
from train_instruct_peers import LLAMAFACTORY, TRL
from train_instruct_report import tables, write_report

HERE = Path(__file__).parent

#: The same torch for all, where a peer takes it.
PEERS = {
    "trl": ("trl==1.16.0", "transformers==5.23.0", "accelerate==1.15.0", "torch==2.13.0", "jinja2"),
    "llamafactory": ("llamafactory==0.9.5", "torch==2.13.0"),
}
#: These come with it, are of no use for text, and stop transformers from loading beside a CPU build of torch.
UNWANTED = {"llamafactory": ("torchvision", "torchaudio")}
PEER_OF = dict.fromkeys(TRL, "trl") | dict.fromkeys(LLAMAFACTORY, "llamafactory")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is trained. `longest`: in tokens; longer conversations are not made."""

    layers: int
    width: int
    vocabulary: int
    longest: int
    samples: int
    batch_size: int
    rate: float
    held_out: int
    contenders: tuple[str, ...]
    precision: str = "auto"
    epochs: int = 1  # more than one in `overhead` alone: the peers take each sample once


CASES = {
    "mixed": Case(
        layers=4,
        width=256,
        vocabulary=8_192,
        longest=1_000,
        samples=320,
        batch_size=8,
        rate=2e-3,
        held_out=120,
        contenders=("danlu", "trl", "trl-best", "trl-padding-free", "llamafactory", "llamafactory-best"),
    ),
    "vocabulary": Case(
        layers=2,
        width=64,
        vocabulary=262_144,
        longest=250,
        samples=24,
        batch_size=4,
        rate=1e-3,
        held_out=60,
        contenders=("danlu", "trl", "trl-best", "llamafactory-best"),
    ),
    "overhead": Case(
        layers=2,
        width=32,
        vocabulary=2_048,
        longest=64,
        samples=3_200,
        batch_size=8,
        rate=1e-3,
        held_out=20,
        contenders=("overhead",),
        precision="float32",
        epochs=5,
    ),
}

#: What differs in a quick run.
QUICK = {
    "mixed": {"samples": 32, "held_out": 30, "contenders": ("danlu", "trl", "trl-best", "llamafactory-best")},
    "vocabulary": {"samples": 8, "held_out": 20, "contenders": ("danlu", "trl")},
    "overhead": {"samples": 1_600, "epochs": 2},
}

#: Tokens that the tokenizer learns; the models' vocabularies are larger, as if they knew other languages too.
LEARNED_TOKENS = 2_000
SHORTEST = 20

#: As for the plain template of Danlu, but nothing stands between turns, so that all peers mark the same tokens.
TEMPLATE = (
    "{{- '<s>' }}{%- for message in messages %}{{- '<|' + message['role'] + '|>\\n' }}"
    "{%- if message['role'] == 'assistant' %}{%- generation %}{{- message['content'] + '</s>' }}{%- endgeneration %}"
    "{%- else %}{{- message['content'] + '</s>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}"
)


def main() -> None:
    """Run the contenders, print each run, and the tables last."""
    options = _options()
    from danlu.core.machine import library_versions, this_machine

    machine, started = this_machine(), time.time()
    libraries = library_versions(("torch", "transformers", "accelerate", "tokenizers"))
    about: dict[str, Any] = {"machine": machine.as_dict(), "libraries": libraries, "peers": {}}
    about |= {
        "threads": options.threads,
        "repeats": options.repeats,
        "quick": options.quick,
        "load": os.getloadavg()[0],
    }
    pythons: dict[str, Path | None] = {"danlu": Path(sys.executable)}
    for name, packages in PEERS.items():
        pythons[name], about["peers"][name] = environment(options.cache, name, packages, without=UNWANTED.get(name, ()))
    print(f"{machine.cpu}, {options.threads} threads, load {about['load']:.1f}; {libraries}; {about['peers']}")
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.cases:
            cases[name] = _run_case(name, Path(folder) / name, options, pythons)
    report = about | {"cases": cases, "seconds": round(time.time() - started, 1), "load_at_end": os.getloadavg()[0]}
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n" + "\n".join(tables(cases, quick=options.quick)))
    if options.report:
        write_report(options.report, report, command=_told(sys.argv[1:]))


def _told(arguments: list[str]) -> str:
    """The command line for the report, without the places where things are written."""
    options = iter(arguments)
    kept = [option for option in options if not (option in {"--json", "--report", "--cache"} and next(options))]
    return " ".join(["python benchmarks/train_instruct.py", *kept])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check of some two minutes; its losses mean little")
    parser.add_argument("--json", help="write every number to this file")
    parser.add_argument(
        "--report",
        type=Path,
        help="write the tables to this Markdown file and keep what is below its first --- (default, but for a quick "
        "run: train_instruct-DATE.md beside the script)",
    )
    parser.add_argument("--repeats", type=int, help="runs of each contender, each with its own seed (default 3)")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--contenders", nargs="+", choices=["danlu", *PEER_OF], help="in place of a case's own")
    parser.add_argument("--samples", type=int, help="in place of a case's own")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where peers are installed")
    options = parser.parse_args()
    options.repeats = options.repeats or (1 if options.quick else 3)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    options.report = options.report or (None if options.quick else HERE / f"train_instruct-{today}.md")
    return options


def _run_case(name: str, folder: Path, options: argparse.Namespace, pythons: dict[str, Path | None]) -> dict[str, Any]:
    """All rounds of a case."""
    case = dataclasses.replace(CASES[name], **(QUICK[name] if options.quick else {}))
    if options.samples:
        case = dataclasses.replace(case, samples=options.samples)
    if options.contenders and name != "overhead":
        case = dataclasses.replace(case, contenders=tuple(options.contenders))
    made = prepare(case, folder)
    print(f"\n{name}: {case}\n  {made['told']}", flush=True)
    runs: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for round_ in range(options.repeats):
        for contender in in_turns(case.contenders, round_):
            python = pythons["danlu"] if contender not in PEER_OF else pythons[PEER_OF[contender]]
            if python is None or contender in failed:
                continue
            work = folder / f"{contender}-{round_ + 1}"
            run = _in_a_process(python, work, contender, case, made, seed=round_ + 1, threads=options.threads)
            if "failed" in run:
                failed[contender] = run["failed"]
                print(f"  {contender} failed and is left out: {run['failed']}", flush=True)
                continue
            if contender == "overhead":
                _tell_overhead(run)
            else:
                run["loss"] = held_out_loss(work / "model", made["held_out"])
                _check_work(run, made)
                _tell(run)
            runs.append(run)
    return {"case": dataclasses.asdict(case), "told": made["told"], "runs": runs, "failed": failed}


def prepare(case: Case, folder: Path) -> dict[str, Any]:
    """Base model, corpus and conversations in `folder`; what is the same for all runs."""
    import numpy as np
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from danlu.learning import scratch
    from danlu.learning.models import quiet_transformers

    quiet_transformers()
    folder.mkdir()
    base = folder / "base"
    taught = _conversations(2_000, 3, lambda _: True, case.longest)
    texts = (message["content"] for row in taught for message in row["messages"])
    scratch.save_tokenizer(
        scratch.train_tokenizer(texts, scratch.DECODER, LEARNED_TOKENS), scratch.DECODER, base, case.longest
    )
    (base / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=case.vocabulary,
        hidden_size=case.width,
        intermediate_size=32 * -(-8 * case.width // 96),
        num_hidden_layers=case.layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1_024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(base)

    def fits(messages: list[dict[str, str]]) -> bool:
        return SHORTEST <= len(_written(tokenizer, messages)["input_ids"]) <= case.longest

    rows = _conversations(case.samples + case.held_out, 1, fits, case.longest)
    train, held_out = rows[: case.samples], rows[case.samples :]
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in train)
    _write_corpus(folder / "corpus", {"train": train, "validation": held_out[:20]})
    written = [_written(tokenizer, row["messages"]) for row in train]
    lengths = [len(row["input_ids"]) for row in written]
    told = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "tokens": sum(lengths),
        "targets": sum(sum(row["assistant_masks"][1:]) for row in written),
        "tokens_a_text": {f"p{percent}": float(np.percentile(lengths, percent)) for percent in (0, 5, 50, 95, 100)}
        | {"mean": round(float(np.mean(lengths)), 1)},
    }
    return {
        "told": told,
        "base": base,
        "corpus": folder / "corpus",
        "train": folder / "train.jsonl",
        "held_out": [_written(tokenizer, row["messages"]) for row in held_out],
    }


def _conversations(count: int, seed: int, fits: Any, longest: int) -> list[dict[str, Any]]:
    from train_instruct_texts import conversations

    return conversations(count, seed, fits, longest)


def _written(tokenizer: Any, messages: list[dict[str, str]]) -> dict[str, list[int]]:
    """Token numbers of a conversation, and 1 for those of answers."""
    written = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return {name: list(written[name]) for name in ("input_ids", "assistant_masks")}


def _write_corpus(folder: Path, parts: dict[str, list[dict[str, Any]]]) -> None:
    """The conversations as a Corpus artifact has them."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    number = 0
    for name, rows in parts.items():
        table = []
        for row in rows:
            turns = [
                {"role": said["role"], "text": said["content"], "learn": said["role"] == "assistant"}
                for said in row["messages"]
            ]
            text = "\n".join(turn["text"] for turn in turns)
            table.append({"id": f"{number:08x}", "text": text, "turns": turns})
            number += 1
        (folder / name).mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(table), folder / name / "part-0.parquet")
    (folder / "card.json").write_text(json.dumps({"task": "generate"}), encoding="utf-8")


def _in_a_process(
    python: Path, work: Path, contender: str, case: Case, made: dict[str, Any], *, seed: int, threads: int
) -> dict[str, Any]:
    """One run; what it left in `result.json`, or for a peer that failed what it said last."""
    work.mkdir()
    job = {
        "contender": contender,
        "base": str(made["base"]),
        "corpus": str(made["corpus"]),
        "train": str(made["train"]),
        "max_length": 1_024,
        "samples": case.samples,
        "batch_size": case.batch_size,
        "rate": case.rate,
        "precision": case.precision,
        "epochs": case.epochs,
        "seed": seed,
        "threads": threads,
    }
    (work / "job.json").write_text(json.dumps(job), encoding="utf-8")
    script = HERE / ("train_instruct_peers.py" if contender in PEER_OF else "train_instruct_danlu.py")
    settings = os.environ | thread_settings(threads) | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    started = time.perf_counter()
    done = subprocess.run(
        [str(python), str(script), str(work)], env=settings, capture_output=True, text=True, check=False
    )
    if done.returncode and contender in PEER_OF:
        return {"failed": " ".join(done.stderr.strip().splitlines()[-2:])[-600:]}
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads((work / "result.json").read_text(encoding="utf-8"))
    return {"contender": contender, "seed": seed, "whole_seconds": time.perf_counter() - started} | result


def _check_work(run: dict[str, Any], made: dict[str, Any]) -> None:
    """Stop when a contender learned from other tokens than the others; add its speed."""
    told = made["told"]
    for what in ("tokens", "targets"):
        # Packing puts conversations together, so that the first token of one may follow another's last.
        if run[what] != told[what]:
            raise SystemExit(f"{run['contender']} had {run[what]} {what}; the conversations have {told[what]}.")
    run["tokens_per_second"] = told["tokens"] / run["seconds"]
    run["tokens_per_cpu_second"] = told["tokens"] / run["cpu_seconds"]


def held_out_loss(folder: Path, rows: list[dict[str, list[int]]]) -> float:
    """Mean cross-entropy of the answers' tokens by the model in `folder`: float32, one conversation at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            wanted = torch.tensor(row["assistant_masks"][1:], dtype=torch.bool)
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1][wanted]
            total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:][wanted], reduction="sum"))
            count += int(wanted.sum())
    return total / count


def _tell(run: dict[str, Any]) -> None:
    print(
        f"  {run['contender']:18} seed {run['seed']}: {run['tokens_per_second']:7.0f} tokens/s "
        f"{run['tokens_per_cpu_second']:7.0f} tokens/CPU s  {run['peak_bytes'] / MIB:6.0f} MiB  "
        f"held-out loss {run['loss']:.4f}  {run['steps']} steps in {run['seconds']:.1f} s "
        f"({run['whole_seconds']:.0f} s with start)",
        flush=True,
    )


def _tell_overhead(run: dict[str, Any]) -> None:
    print(
        f"  seed {run['seed']}: {run['steps']} steps, {run['loop_ms']:.2f} ms each, bare {run['bare_ms']:.2f}; "
        f"CPU {run['loop_cpu_ms']:.2f} and {run['bare_cpu_ms']:.2f}; same weights: {run['equal']}",
        flush=True,
    )


if __name__ == "__main__":
    main()
