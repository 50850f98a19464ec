from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from danlu.cli import display as room
from danlu.cli.display import Live, Plain, Silent, display

EVENTS: list[dict[str, Any]] = [
    {"type": "stage", "stage": "data", "state": "reused", "fingerprint": "f", "seconds": 3.0},
    {"type": "stage", "stage": "train", "state": "started", "fingerprint": "f", "seconds": 0},
    *(
        {
            "type": "progress",
            "stage": "train",
            "what": "training",
            "done": done,
            "total": 6_400,
            "unit": "samples",
            "info": {"loss": 0.4123},
            "ended": done == 6_400,
        }
        for done in (0, 1_280, 2_560, 6_400)
    ),
    {"type": "say", "stage": "train", "text": "best at step [180]"},
    {"type": "warn", "stage": "train", "text": "the loss rose"},
    {"type": "stage", "stage": "train", "state": "finished", "fingerprint": "f", "seconds": 182.0},
    {"type": "stage", "stage": "compress", "state": "failed", "fingerprint": "f", "text": "no"},
]


def test_plain_has_a_line_a_stage_and_few_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with Plain() as shown:
        for event in EVENTS:
            shown(event)
    assert capsys.readouterr().out.splitlines() == [
        "data: reused",
        "train: started",
        "train: best at step [180]",
        "train: warning: the loss rose",
        "train: done in 3 min 02 s",
        "compress: stopped",
    ]


def test_plain_progress_has_rate_time_left_and_loss(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1_000, 10))
    monkeypatch.setattr(room.time, "monotonic", lambda: float(next(clock)))
    with Plain() as shown:
        for event in EVENTS[2:5]:
            shown(event)
    assert capsys.readouterr().out.splitlines()[-1] == (
        "train: training 2,560/6,400 samples, 128 samples/s, 30 s left, loss 0.412"
    )


def test_live_leaves_a_line_a_stage_and_shows_the_bar_meanwhile() -> None:
    file = io.StringIO()
    with Live(Console(file=file, force_terminal=True, width=100, color_system=None)) as shown:
        for event in EVENTS[:5]:
            shown(event)
        shown._progress.refresh()
        middle = file.getvalue()
        for event in EVENTS[5:]:
            shown(event)
        assert not shown._bars
    assert "2,560/6,400 samples" in middle
    assert "loss 0.412" in middle
    ended = file.getvalue()
    for line in ("= data", "✓ train", "3 min 02 s", "✗ compress", "best at step [180]", "! the loss rose"):
        assert line in ended


def test_silent_says_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Silent() as shown:
        for event in EVENTS:
            shown(event)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "warning: the loss rose\n"


def test_the_display_fits_where_output_goes() -> None:
    assert isinstance(display(Console(file=io.StringIO()), quiet=False), Plain)
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True), quiet=False), Live)
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True), quiet=True), Silent)


def test_plain_says_nothing_of_progress_that_has_only_begun(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: seconds[0])
    event = EVENTS[2] | {"what": "looking for leaks", "done": 0, "total": None, "unit": "texts", "info": {}}
    with Plain() as shown:
        seconds[0] = 60.0
        shown(event)
        assert capsys.readouterr().out == ""
        seconds[0] = 66.0
        shown(event)
        assert capsys.readouterr().out == "train: looking for leaks\n"
        seconds[0] = 72.0
        shown(event | {"done": 40})
        assert capsys.readouterr().out == "train: looking for leaks 40 texts, 3.33 texts/s\n"
