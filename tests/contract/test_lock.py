from __future__ import annotations

import json

from tests.contract.lock import LOCK, current


def test_a_changed_stage_has_a_new_version_or_a_reason() -> None:
    locked, now = json.loads(LOCK.read_text(encoding="utf-8")), current()
    changed = [name for name in now if locked.get(name) != now[name]]
    assert not changed, (
        f"The source of {', '.join(changed)} changed. If a stage now yields something else for the same "
        "inputs, raise its version in danlu/stages.py and run: python -m tests.contract.lock; otherwise: "
        "python -m tests.contract.lock --same WHY"
    )
