"""How a plan starts a trace: `python -m danlu.plan.trace_start FOLDER PARENT`. Light until the trace itself begins.

The trace ends with the process PARENT: a plan that is killed leaves nothing behind that goes on computing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from danlu.core.worker import end_with_parent


def main() -> int:
    """Trace what FOLDER asks for, as long as PARENT lives."""
    end_with_parent(int(sys.argv[2]))
    # Only now: its libraries take seconds to load.
    from danlu.plan.trace_worker import main as trace

    return trace(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
