"""Base models by name, really fetched by the hubs' own clients from a server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from danlu.examples import tiny_rows
from danlu.learning import scratch
from danlu.learning.models import check_base
from tests.unit.sources.hub_server import COMMIT, resolved, serving


def tiny_base(folder: Path) -> dict[str, bytes]:
    """The files of a real, very small encoder, beside some that a hub has and Danlu does not want."""
    tokenizer = scratch.train_tokenizer([row["text"] for row in tiny_rows(100)], scratch.VOCABULARIES["encoder"], 400)
    torch.manual_seed(1)
    model = scratch.MAKERS["encoder"](scratch.Shape(layers=1, width=32, heads=2, positions=64), tokenizer, [])
    model.save_pretrained(folder)
    scratch.save_tokenizer(tokenizer, scratch.VOCABULARIES["encoder"], folder, 64)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    unwanted = ("pytorch_model.bin", "tf_model.h5", "onnx/config.json", "README.md")
    return files | {"chat_template.jinja": b"{{ messages }}"} | dict.fromkeys(unwanted, b"not wanted")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return tiny_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    pickled = {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    repositories = {
        "models/sentence-transformers/all-MiniLM-L6-v2": files,
        "models/hfl/chinese-macbert-base": pickled,
        "models/owner/own": files,
        "models/google/gemma-3-270m": files,
    }
    with serving(repositories, frozenset({"models/google/gemma-3-270m"})) as (endpoint, asked):
        yield endpoint, asked


def test_a_base_of_the_hub_by_its_name(server: tuple[str, list[str]], files: dict[str, bytes], tmp_path: Path) -> None:
    endpoint, asked = server
    named, prefixed, addressed, pinned, unknown, lost, pickled, gated = resolved(
        [
            "base://minilm",
            "hf://minilm",
            "hf://owner/own",
            "hf://owner/own@main",
            "hf://owner/other",
            "hf://owner/own@v9",
            "base://macbert-base",
            "base://gemma-3-270m",
        ],
        endpoint,
        tmp_path / "home",
    )
    assert named == prefixed and COMMIT in named
    check_base(Path(named))
    assert (Path(named) / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert (Path(named) / "chat_template.jinja").is_file(), "without it a chat model is asked in the wrong form"
    model = AutoModel.from_pretrained(named)
    assert model.config.hidden_size == 32
    assert addressed == pinned != named
    assert "no model 'owner/other', or it is private" in unknown
    assert "'owner/own' has no revision 'v9'" in lost
    assert "'hfl/chinese-macbert-base'" in pickled and "Danlu reads no pickled ones" in pickled
    assert "'google/gemma-3-270m' asks you to accept its terms first" in gated
    fetched = [line for line in asked if "/resolve/" in line]
    assert fetched
    assert not any(name in line for line in fetched for name in (".bin", ".h5", "onnx/", "README")), fetched


def test_a_base_that_was_fetched_is_there_when_the_hub_is_not(server: tuple[str, list[str]], tmp_path: Path) -> None:
    (first,) = resolved(["base://minilm"], server[0], tmp_path)
    again, never = resolved(["base://minilm", "base://qwen3-0.6b"], "http://127.0.0.1:9", tmp_path)
    assert again == first
    assert "Could not fetch 'qwen3-0.6b' from the Hugging Face hub" in never


def test_a_base_of_modelscope(server: tuple[str, list[str]], files: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("modelscope", reason="danlu[modelscope] is not installed")
    endpoint, asked = server
    named, addressed, unknown, nowhere = resolved(
        ["modelscope://minilm", "modelscope://owner/own", "modelscope://owner/other", "modelscope://modernbert-base"],
        endpoint,
        tmp_path / "home",
    )
    for folder in (named, addressed):
        check_base(Path(folder))
        assert (Path(folder) / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert unknown.startswith("error: ") and "owner/other" in unknown
    assert "No copy of the base 'modernbert-base' on ModelScope is known" in nowhere
    assert not any(name in line for line in asked for name in (".bin", ".h5", "onnx", "README"))
