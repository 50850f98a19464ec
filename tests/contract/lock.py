"""The lock on stage sources: code that changed needs a new version, or a reason why not.

    python -m tests.contract.lock             rewrite the lock after raising a stage's version in danlu/stages.py
    python -m tests.contract.lock --same WHY  rewrite it although the version stays: the result is the same, because WHY

The hash is over the syntax trees, without docstrings, of every module of Danlu that the stage imports, directly or
not, also by name from a table, outside core (but for what decides results there); so comments and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import grimp

from danlu.stages import STAGES

LOCK = Path(__file__).with_name("stages.lock.json")
ROOT = Path(__file__).parents[2]


#: Modules of core that decide what a stage yields; the others decide how stages run.
_OF_CORE = frozenset(
    f"danlu.core.{name}" for name in ("asked", "baseline", "columns", "descent", "heads", "scores", "tasks")
)

#: "module:attribute", as a table names what it imports when it is asked for.
_NAMED = re.compile(r"danlu(?:\.\w+)+(?=:\w+$)")


def _reached(module: str, graph: grimp.ImportGraph) -> dict[str, ast.Module]:
    """The syntax trees of `module` and of all it imports outside core, also by name from a table."""
    trees: dict[str, ast.Module] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        path = ROOT / (name.replace(".", "/") + ".py")
        ours = not name.startswith("danlu.core") or name in _OF_CORE
        if name in trees or not ours or not path.exists():
            continue
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
        constants = (node.value for node in ast.walk(trees[name]) if isinstance(node, ast.Constant))
        named = (_NAMED.match(value) for value in constants if isinstance(value, str))
        waiting |= graph.find_upstream_modules(name) | {found.group() for found in named if found}
    return trees


def source_hash(module: str, graph: grimp.ImportGraph) -> str:
    """Hash of the stage's module and of all it imports from Danlu, by syntax tree without docstrings."""
    whole = hashlib.sha256()
    for name, tree in sorted(_reached(module, graph).items()):
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                constant = body[0].value
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                    body[0] = ast.Pass()
        whole.update(f"{name}\n{ast.dump(tree)}\n".encode())
    return whole.hexdigest()


def current() -> dict[str, Any]:
    """What the lock should say now: version and source hash by stage."""
    graph = grimp.build_graph("danlu")
    return {
        stage.name: {"version": stage.version, "source": source_hash(stage.run.partition(":")[0], graph)}
        for stage in STAGES
    }


def main(arguments: list[str]) -> int:
    """Rewrite the lock; returns 1 where a stage changed and neither a version nor a reason says what that means."""
    locked = json.loads(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    reason = " ".join(arguments[1:]).strip() if arguments[:1] == ["--same"] else ""
    for name, now in current().items():
        before = locked.get(name)
        if before and before["source"] != now["source"] and before["version"] == now["version"] and not reason:
            print(f"The source of {name} changed but its version is still {now['version']}. Raise it in")
            print("danlu/stages.py, or say why the result is the same: python -m tests.contract.lock --same WHY")
            return 1
    waived = {"reason": reason} if reason else {}
    LOCK.write_text(
        json.dumps({**current(), **({"same": waived} if waived else {})}, indent=2) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
