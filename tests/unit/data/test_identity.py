"""Whose data a row is: under a key, which is in no artifact, and of which no two mix."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import pytest

from danlu.core.config import resources
from danlu.core.errors import DataError, UserError
from danlu.core.fingerprint import plain
from danlu.core.resource import Resolver, Site
from danlu.data.config import CleanConfig, IdentityKeyConfig
from danlu.data.earlier import SIDES
from danlu.data.identity import IdentityKey, folder_of, key_of, read_key, resolve
from tests.unit.data.test_stage import distinct, make, rows_of, write

PHONES = [f"138001380{number:02d}" for number in range(100)]


def site(workspace: Path) -> Site:
    return Site(base=workspace, workspace=workspace)


def with_phones(folder: Path, count: int = 100) -> Path:
    rows = [{**row, "who": phone} for row, phone in zip(distinct(count), PHONES, strict=True)]
    return write(folder / "rows.jsonl", rows)


def test_a_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    first = resolve(IdentityKeyConfig(), site(tmp_path))
    key = read_key(folder_of(tmp_path))
    assert len(key.secret) == 32
    assert stat.S_IMODE((tmp_path / "keys" / "identity").stat().st_mode) == 0o600
    assert resolve(IdentityKeyConfig(), site(tmp_path)) == first
    assert read_key(folder_of(tmp_path)) == key
    assert first.read_text() == f"{key.mark}\n"
    assert key.secret.hex() not in repr(key)
    # A first run that was killed before it wrote leaves an empty file.
    (tmp_path / "keys" / "identity").write_text("")
    resolve(IdentityKeyConfig(), site(tmp_path))
    assert read_key(folder_of(tmp_path)) != key


def test_trying_all_phones_finds_nobody(tmp_path: Path) -> None:
    out = make(tmp_path, [with_phones(tmp_path)], subject="who", workspace=tmp_path / "w").out
    names = {row["subject"] for part in ("train", "validation", "test") for row in rows_of(out, part)}
    assert len(names) == 100
    # Every way to hash a phone without a key, the one of earlier versions among them.
    unkeyed = [lambda text: hashlib.blake2b(text, digest_size=8, person=b"danlu-subject"), hashlib.sha256, hashlib.md5]
    for hashed in unkeyed:
        assert names.isdisjoint(hashed(phone.encode()).hexdigest()[:16] for phone in PHONES)
    key = read_key(folder_of(tmp_path / "w"))
    assert names == {key.name(phone) for phone in PHONES}


def test_no_artifact_holds_the_key(tmp_path: Path) -> None:
    make(tmp_path, [with_phones(tmp_path)], subject="who", workspace=tmp_path / "w")
    secret = read_key(folder_of(tmp_path / "w")).secret
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != tmp_path / "w/keys/identity"]
    assert len(files) > 10
    for path in files:
        held = path.read_bytes()
        assert secret not in held
        assert secret.hex().encode() not in held


def test_only_recipes_with_ids_depend_on_a_key(tmp_path: Path) -> None:
    source: dict[str, Any] = {"sources": [{"path": "a.csv"}]}
    assert list(resources(CleanConfig.model_validate(source))) == ["sources[0].path"]
    config = CleanConfig.model_validate(source | {"conversation": "talk"})
    assert "identity_key" in resources(config)
    found = plain(config, {"sources[0].path": "0", "identity_key": "1"})
    assert found["identity_key"] == "content:1"
    path = Resolver(site=site(tmp_path)).of(resources(config)["identity_key"])
    assert read_key(folder_of(tmp_path)).secret.hex() not in path.read_text()


def test_machines_agree_by_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDS", "sixteen bytes or more")
    one, other = (resolve(IdentityKeyConfig(env="IDS"), site(tmp_path / name)) for name in "ab")
    assert one.read_text() == other.read_text()
    assert not (tmp_path / "a/keys/identity").exists()
    monkeypatch.setenv("IDS", "short")
    with pytest.raises(UserError, match="IDS .* holds 5 bytes; 16 or more") as caught:
        resolve(IdentityKeyConfig(env="IDS"), site(tmp_path / "a"))
    assert "'short'" not in str(caught.value)


def test_a_key_that_is_lost_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Put back a copy"):
        read_key(folder_of(tmp_path))
    resolve(IdentityKeyConfig(), site(tmp_path))
    said = {"mark": read_key(folder_of(tmp_path)).mark, "env": None}
    assert key_of(said, folder_of(tmp_path)) is not None
    (tmp_path / "keys/identity").write_text("00" * 32)
    assert key_of(said, folder_of(tmp_path)) is None
    (tmp_path / "keys/identity").write_text("no hex")
    with pytest.raises(UserError, match="damaged"):
        resolve(IdentityKeyConfig(), site(tmp_path))


def test_corpora_of_two_keys_do_not_mix(tmp_path: Path) -> None:
    path = with_phones(tmp_path)
    make(tmp_path / "1", [path], subject="who", workspace=tmp_path / "mine")
    files = {"data.extends": tmp_path / "1/out" / SIDES}
    extending: dict[str, Any] = {"files": files, "extends": "corpus://before"}
    again = make(tmp_path / "2", [path], subject="who", workspace=tmp_path / "mine", **extending)
    assert (again.out / SIDES).read_bytes() == (tmp_path / "1/out" / SIDES).read_bytes()
    mine, theirs = (IdentityKey(b"0" * 16), IdentityKey(b"1" * 16))
    assert mine.name("x") != theirs.name("x")
    with pytest.raises(DataError, match="One person would have two names"):
        make(tmp_path / "3", [path], subject="who", workspace=tmp_path / "theirs", **extending)
    # Without subjects of its own there is nothing to mix, and the ids stay under the key that they had.
    plain_ = make(tmp_path / "4", [path], workspace=tmp_path / "theirs", **extending)
    files["data.extends"] = plain_.out / SIDES
    with pytest.raises(DataError, match="One person would have two names"):
        make(tmp_path / "5", [path], subject="who", workspace=tmp_path / "theirs", **extending)
