"""What earlier runs made, found by their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.core.artifact import origin_of
from danlu.core.errors import UserError
from danlu.core.resource import Digests, Resolver, Site, check
from danlu.core.store import write_json_atomically
from tests.support import as_artifact


def trained(space: Path, name: str, run: str, when: str, weights: str) -> Path:
    """The checkpoint of a run, as a run leaves it."""
    folder = space / "artifacts" / "train" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text(weights)
    stages = [{"stage": "data", "folder": "artifacts/data/x"}, {"stage": "train", "folder": f"artifacts/train/{name}"}]
    write_json_atomically(space / "runs" / run / f"{when}.json", {"stages": stages})
    return folder


def test_the_model_of_a_run_is_found_by_its_name(tmp_path: Path) -> None:
    space = tmp_path / ".danlu"
    trained(space, "old", "reviews", "20261101T0", "a")
    newest = trained(space, "new", "reviews", "20261102T0", "b")
    write_json_atomically(space / "runs" / "reviews" / "20261103T0.json", {"stages": [{"stage": "plan"}]})
    resolver = Resolver(site=Site(base=tmp_path, workspace=space))
    assert resolver.of("run://reviews") == newest
    check("run://reviews", tmp_path)
    with pytest.raises(UserError, match=r"No run 'review' with a trained model.*Did you mean run://reviews"):
        resolver.of("run://review")
    with pytest.raises(UserError, match="no workspace"):
        Resolver(site=Site(base=tmp_path)).of("run://reviews")


def test_an_artifact_is_known_by_its_content_and_not_by_when_it_was_made(tmp_path: Path) -> None:
    digests = []
    for number, (weights, seconds) in enumerate([("a", 1.0), ("a", 2.0), ("b", 1.0)]):
        folder = tmp_path / str(number) / "abc"
        (folder / "logs").mkdir(parents=True)
        (folder / "model.safetensors").write_text(weights)
        (folder / "logs" / "speed.json").write_text(str(seconds))
        record = as_artifact(folder, "train").record.model_copy(update={"fingerprint": "abc", "seconds": seconds})
        (folder / "record.json").write_text(record.model_dump_json())
        assert origin_of(folder) == {"stage": "train", "fingerprint": "abc", "content": record.content, "inputs": {}}
        digests.append(Digests().of(folder))
    assert digests[0] == digests[1] != digests[2]
    # A folder of one's own may have files of those names, and they are content.
    mine = tmp_path / "mine"
    mine.mkdir()
    assert origin_of(mine) is None
    before = Digests().of(mine)
    (mine / "record.json").write_text(json.dumps({"fingerprint": "abc", "inputs": {}}))
    assert Digests().of(mine) != before


@pytest.mark.parametrize(("file", "made"), [("members/0/danlu.json", "an ensemble"), ("model.json", "a classic model")])
def test_an_older_model_does_not_stand_in_for_one_that_is_no_network(tmp_path: Path, file: str, made: str) -> None:
    space = tmp_path / ".danlu"
    trained(space, "old", "reviews", "20261101T0", "a")
    newest = trained(space, "new", "reviews", "20261102T0", "b")
    (newest / "config.json").unlink()
    write_json_atomically(newest / file, {})
    with pytest.raises(UserError, match=rf"the last run of 'reviews' made {made}"):
        Resolver(site=Site(base=tmp_path, workspace=space)).of("run://reviews")
