"""Data sets by name, from a server on this machine that speaks the few endpoints of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.core.errors import UserError
from danlu.core.resource import Site
from danlu.sources import hub
from tests.unit.sources.hub_server import COMMIT, resolved, serving
from tests.unit.sources.reading import read

FILES = {
    "README.md": b"---\nlicense: mit\n---\n",
    "data/train-00000-of-00002.jsonl": b'{"text": "one"}\n{"text": "two"}\n',
    "data/train-00001-of-00002.jsonl": b'{"text": "three"}\n',
    "test.csv": b"text\nfour\n",
    "image.png": b"not wanted",
}


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    with serving({"datasets/owner/name": FILES}) as (endpoint, asked):
        yield endpoint, asked


def test_data_sets_of_the_hub(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    endpoint, asked = server
    whole, folder, pattern, pinned, nothing, unknown = resolved(
        [
            "hf://datasets/owner/name",
            "hf://datasets/owner/name/data",
            "hf://datasets/owner/name/data/*-00001-*.jsonl",
            "hf://datasets/owner/name@main/test.csv",
            "hf://datasets/owner/name/nothing.csv",
            "hf://datasets/owner/other",
        ],
        endpoint,
        tmp_path / "home",
    )
    assert read(Path(whole), tmp_path / "whole").texts == ["one", "two", "three", "four"]
    assert read(Path(folder), tmp_path / "folder").texts == ["one", "two", "three"]
    assert read(Path(pattern), tmp_path / "pattern").texts == ["three"]
    assert read(Path(pinned), tmp_path / "pinned").texts == ["four"]
    assert COMMIT in whole
    assert "has no 'nothing.csv'" in nothing
    assert "has no data set 'owner/other', or it is private" in unknown
    fetched = [line for line in asked if line.startswith("GET /datasets/")]
    assert not any(name in line for line in fetched for name in ("README", "image")), "only data is fetched"
    assert len(fetched) == len(set(fetched)) == 3, "what is in the hub's cache is not fetched again"


def test_what_the_hub_gave_is_used_when_it_cannot_be_reached(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    endpoint, _ = server
    (first,) = resolved(["hf://datasets/owner/name"], endpoint, tmp_path)
    nowhere = "http://127.0.0.1:9"
    again, never = resolved(["hf://datasets/owner/name", "hf://datasets/owner/new"], nowhere, tmp_path)
    assert again == first
    assert "Could not fetch 'hf://datasets/owner/new' from the Hugging Face hub" in never


def test_data_sets_of_modelscope(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("modelscope", reason="danlu[modelscope] is not installed")
    endpoint, asked = server
    whole, folder, unknown = resolved(
        [
            "modelscope://datasets/owner/name",
            "modelscope://datasets/owner/name/data",
            "modelscope://datasets/owner/other",
        ],
        endpoint,
        tmp_path / "home",
    )
    assert read(Path(whole), tmp_path / "whole").texts == ["one", "two", "three", "four"]
    assert read(Path(folder), tmp_path / "folder").texts == ["one", "two", "three"]
    assert unknown.startswith("error: ")
    assert "owner/other" in unknown
    assert not any(name in line for line in asked for name in ("README", "image")), "only data is fetched"


@pytest.mark.parametrize("name", ["hf://datasets/only", "hf://datasets/", "hf://datasets/a b/c"])
def test_what_names_no_data_set_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected hf://datasets/OWNER/NAME"):
        hub.hugging_face_data(name, name.removeprefix("hf://datasets/"), Site(base=tmp_path))
