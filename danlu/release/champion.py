"""Finds what is live, for a comparison with it: the one thing of a run that is neither in its recipe nor in its data.

What a promotion changes must be in the fingerprint of what is computed from it, or a verdict would be reused against a
champion that is no more. So the list of champions is a resource like a data file: its content is its fingerprint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from danlu.core.errors import UserError
from danlu.core.resource import Site
from danlu.core.store import Workspace, write_json_atomically
from danlu.release.registry import Registry


class _Named(Protocol):
    name: str


def locate(asked: _Named, site: Site) -> Path:
    """A file that lists the champion of the model `asked.name`, and those before it, newest first.

    `{"name", "versions": [{"number", "release", "there"}]}`, `release` being the fingerprint of the release in the
    workspace; `there`: whether its files and its corpus are, for what was missing may come back. Without versions while
    nothing was promoted. Those before it are there because a model that is itself the champion by now is compared with
    the one it replaced: else a second run of the same recipe would come to another verdict.
    """
    if site.workspace is None or site.cache is None:
        raise UserError("The champion is looked for in a workspace; `danlu run` has one.")
    workspace = Workspace(site.workspace)
    line = Registry(workspace, asked.name).line()
    path = site.cache / "champions" / f"{asked.name}.json"
    versions = [
        {"number": version.number, "release": version.fingerprint, "there": _there(workspace, version.fingerprint)}
        for version in line
    ]
    write_json_atomically(path, {"name": asked.name, "versions": versions})
    return path


def _there(workspace: Workspace, fingerprint: str) -> list[bool]:
    release = workspace.find("release", fingerprint)
    if release is None:
        return [False, False]
    return [True, workspace.find("data", release.record.inputs["data"][0]) is not None]
