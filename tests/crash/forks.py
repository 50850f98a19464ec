"""Runs train stages in processes that are forked off this one, so that the libraries are imported once.

    python -m tests.crash.forks

Of each line of JSON that comes in, a `Run`, it tells the process's number. When that has ended and an empty line has
come in, it tells the exit status: until then the number belongs to nobody else, so that a late kill hits none. Nothing
is computed here, so no thread of a library is lost in a fork.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

#: Imported before the first fork; the last three by some trainings alone.
LIBRARIES = (
    "danlu.train.stage",
    "danlu.train.classic",
    "transformers.models.bert",
    "transformers.models.llama",
    "peft",
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A train stage in `folder`, which has `out` and `state`. `config` are its sections, `corpus` is its data."""

    folder: str
    corpus: str
    config: dict[str, Any]
    resources: dict[str, str] = field(default_factory=dict)


class Starter:
    """The process that forks, seen from a test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TOKENIZERS_PARALLELISM": "false"},
        )

    def start(self, run: Run) -> int:
        """The number of the process that has begun the run."""
        self._pipe("stdin").write(json.dumps(asdict(run)) + "\n")
        self._pipe("stdin").flush()
        return self._number()

    def end(self) -> int:
        """How it ended: 0, 1 after an error, or the number of a signal below 0."""
        self._pipe("stdin").write("\n")
        self._pipe("stdin").flush()
        return self._number()

    def close(self) -> None:
        self._pipe("stdin").close()
        self._process.wait()

    def _number(self) -> int:
        line = self._pipe("stdout").readline()
        assert line, "the process that forks has ended"
        return int(line)

    def _pipe(self, name: str) -> IO[str]:
        pipe: IO[str] = getattr(self._process, name)
        return pipe


def main() -> None:
    """Fork for every line until there is no more."""
    import importlib

    import torch

    for library in LIBRARIES:
        importlib.import_module(library)
    torch.set_num_threads(1)
    while line := sys.stdin.readline():
        run = Run(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            _run(run)
        print(pid, flush=True)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _run(run: Run) -> NoReturn:
    """The stage, in a process of its own, as the runner starts it: `out` is empty, `state` is what it was."""
    folder = Path(run.folder)
    shutil.rmtree(folder / "out", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    code = 1
    try:
        from danlu.train import stage
        from danlu.train.config import TrainStage
        from tests.support import as_artifact, make_context

        stage.run(
            make_context(
                folder,
                stage="train",
                inputs={"data": as_artifact(Path(run.corpus), "data")},
                resources={name: Path(path) for name, path in run.resources.items()},
            ),
            TrainStage.model_validate(run.config),
        )
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
