"""Databases as sources: SQLite, and a real PostgreSQL that the tests start and stop."""

from __future__ import annotations

import getpass
import glob
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from danlu.core.config import resources
from danlu.core.errors import DataError, UserError
from danlu.core.fingerprint import plain
from danlu.core.resource import Digests, Resolver, Site
from danlu.data.config import DataConfig, SourceConfig, SqlConfig
from danlu.data.reader import Input
from danlu.plan.reading import look
from danlu.sources.snapshots import origin_of
from tests.unit.sources.reading import read

pytest.importorskip("sqlalchemy", reason="danlu[sql] is not installed")

PASSWORD = "o'p@n:sesame/%41"


def take(folder: Path, url: str, query: str, said: list[str] | None = None, **more: Any) -> Path:
    asked = SqlConfig.model_validate({"url": url, "query": query})
    say = (lambda _: None) if said is None else said.append
    return Resolver(site=Site(base=folder, cache=folder / "cache", say=say, **more)).of(asked)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A SQLite file with ten thousand reviews, more than are taken at once."""
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table reviews (id integer, text text, label text, price real, photo blob)")
        database.executemany(
            "insert into reviews values (?, ?, ?, ?, ?)",
            ((n, f"第 {n} 条评论 100% good: fine", "好" if n % 2 else None, n / 4, b"\x00") for n in range(10_000)),
        )
    database.close()
    return tmp_path


QUERY = "select text, label, price from reviews where text like '%good: f%' order by id"


def test_rows_of_sqlite(shop: Path) -> None:
    said: list[str] = []
    path = take(shop, "sqlite:///shop.db", QUERY, said)
    assert said == ["Reading rows from sqlite:///shop.db"]
    table = pq.read_table(path)
    assert table.column_names == ["text", "label", "price"]
    assert table.num_rows == 10_000
    assert table.slice(3, 1).to_pylist() == [{"text": "第 3 条评论 100% good: fine", "label": "好", "price": "0.75"}]
    assert table["label"].null_count == 5_000
    found = read(path, shop / "out", label="label")
    assert len(found.rows) == 5_000
    assert found.rows[0]["origin"] == f"{path.name}:2"
    config = DataConfig.model_validate({"sources": [{"sql": {"url": "sqlite:///shop.db", "query": QUERY}}]})
    assert look(config, [path]).rows == 10_000


def test_rows_stay_until_fresh_ones_are_asked_for(shop: Path) -> None:
    first = take(shop, "sqlite:///shop.db", QUERY)
    with sqlite3.connect(shop / "shop.db") as database:
        database.execute("update reviews set text = 'changed, good: f' where id = 0")
    database.close()
    said: list[str] = []
    assert take(shop, "sqlite:///shop.db", QUERY, said) == first
    assert said[0].startswith("Using the rows taken from sqlite:///shop.db on 20")
    assert said[0].endswith("; --refresh takes them anew")
    second = take(shop, "sqlite:///shop.db", QUERY, refresh=True)
    assert pq.read_table(second)["text"][0].as_py() == "changed, good: f"
    assert Digests().of(first) != Digests().of(second)
    assert take(shop, "sqlite:///shop.db", QUERY, refresh=True) == second, "equal rows are equal content"
    origin = origin_of(second)
    assert origin is not None
    assert origin["place"] == "sqlite:///shop.db"
    assert take(shop, "sqlite:///shop.db", QUERY + " limit 10") != second


def test_the_fingerprint_covers_the_rows_and_not_the_url(shop: Path) -> None:
    config = DataConfig.model_validate({"sources": [{"sql": {"url": "sqlite:///shop.db", "query": QUERY}}]})
    assert list(resources(config)) == ["data.sources[0].sql".removeprefix("data.")]
    assert plain(config, {"sources[0].sql": "abc"})["sources"][0]["sql"] == "content:abc"
    assert config.sources[0].place == "sql"


@pytest.mark.parametrize(
    ("url", "query", "message"),
    [
        ("sqlite:///shop.db", "select * from nowhere", r"sqlite:///shop.db says: no such table: nowhere"),
        ("sqlite:///shop.db", "selekt 1", r"says: near \"selekt\": syntax error"),
        ("sqlite:///shop.db", "delete from reviews", r"says: attempt to write a readonly database"),
        ("sqlite:///shop.db", "pragma user_version = 3", r"(readonly|returns no rows)"),
        ("sqlite:///shop.db", "select text from reviews where id < 0", r"gave no rows. Check the query"),
        ("sqlite:///shop.db", "select text, text from reviews", r"two columns named 'text'; name one of them"),
        ("sqlite:///shop.db", "select photo from reviews", r"Row 1 of the query holds bytes in column 'photo'"),
        ("sqlite:///nothing.db", "select 1", r"There is no SQLite file 'nothing.db'"),
        ("oracle://x/y", "select 1", r"does not read 'oracle' databases; expected mariadb, mysql, postgresql, sqlite"),
        ("not a url", "select 1", r"is not the URL of a database. Expected, for instance, postgresql"),
        ("sqlite:///shop.db?timeout=abc", "select 1", r"says: could not convert string to float"),
        ("postgresql+psycopg://u@127.0.0.1:1/d?connect_timeout=abc", "select 1", r"says: .*abc"),
        ("postgresql+psycopg://a:${DANLU_NOT_SET}@h/d", "select 1", r"variable 'DANLU_NOT_SET'.*is not set"),
    ],
)
def test_mistakes_are_told(shop: Path, url: str, query: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        take(shop, url, query)
    with sqlite3.connect(shop / "shop.db") as database:
        assert database.execute("select count(*) from reviews").fetchone() == (10_000,)
    database.close()


def test_what_a_variable_stands_for_is_another_place(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(shop / "staging.db") as database:
        database.execute("create table reviews (text)")
        database.execute("insert into reviews values ('of staging')")
    database.close()
    taken = {}
    for which in ("shop", "staging", "shop"):
        monkeypatch.setenv("WHICH", str(shop / which))
        taken[which] = pq.read_table(take(shop, "sqlite:///${WHICH}.db", "select text from reviews")).num_rows
    assert taken == {"shop": 10_000, "staging": 1}


def test_a_secret_is_masked_before_a_message_is_cut(shop: Path) -> None:
    from danlu.sources.sql import _said

    secret = "hunter2-and-a-long-rest"
    for before in range(270, 300):
        assert "hunt" not in _said(ValueError("x" * before + secret), {secret}, "postgresql://h/d")


def test_variables_of_any_signs_reach_the_parts_they_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the database's own library, as `danlu.core.urls.filled` writes them; tune and tracking fill theirs alike."""
    from sqlalchemy.engine import make_url

    from danlu.core.urls import filled

    password, option = "a/b?c#d@e:f%20 +密", "x&y=z;w"
    monkeypatch.setenv("PW", password)
    monkeypatch.setenv("CERTIFICATE", option)
    monkeypatch.setenv("WHERE", "db.example:5433/shop")
    written = "postgresql+psycopg://me:${PW}@${WHERE}?password=${PW}&sslcert=${CERTIFICATE}&sslmode=require"
    text, secrets = filled(written, "a source's url")
    url = make_url(text)
    assert (url.username, url.password) == ("me", password)
    assert (url.host, url.port, url.database) == ("db.example", 5433, "shop")
    assert dict(url.query) == {"password": password, "sslcert": option, "sslmode": "require"}
    assert {password, option} <= secrets and not any("shop" in secret for secret in secrets)


def test_a_file_that_is_no_database(shop: Path) -> None:
    (shop / "text.db").write_text("just text " * 100)
    with pytest.raises(UserError, match="says: file is not a database"):
        take(shop, "sqlite:///text.db", "select * from reviews")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hunter2@db/shop",
        "mysql+pymysql://me:hunter2${X}@db/shop",
        "postgresql+psycopg://db/shop?user=me&password=hunter2",
    ],
)
def test_a_password_in_the_recipe_is_refused(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        SourceConfig.model_validate({"sql": {"url": url, "query": "select 1"}})
    said = refused.value.errors()[0]["msg"]
    assert "environment variable and write ${NAME}" in said
    assert "hunter2" not in said


def test_a_source_has_one_place() -> None:
    for config in ({}, {"path": "a.csv", "sql": {"url": "sqlite:///a.db", "query": "select 1"}}):
        with pytest.raises(ValidationError, match="either path or sql"):
            SourceConfig.model_validate(config)


# PostgreSQL ---------------------------------------------------------------------------------------------------------


def server_programs() -> Path | None:
    """The newest folder with PostgreSQL's server programs, as Debian lays them out, or the one on the path."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda name: float(name.split("/")[4]))
    if found:
        return Path(found[-1])
    program = shutil.which("initdb")
    return Path(program).parent if program else None


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A PostgreSQL of its own on a socket in a temporary folder; yields a URL without a password."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = server_programs()
    if programs is None or not (programs / "initdb").exists():
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    # The server refuses to run as root, and a socket's path may have 107 characters at most.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="danlu-pg-", dir="/tmp"))
    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", str(folder / "data"), *arguments]
            done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"

        call("initdb", "-U", "reader", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "-E", "UTF8", "-N")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://reader:${{DANLU_TEST_PASSWORD}}@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def filled(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import psycopg

    monkeypatch.setenv("DANLU_TEST_PASSWORD", PASSWORD)
    folder = postgres.partition("host=")[2]
    with psycopg.connect(user="reader", password=PASSWORD, dbname="postgres", host=folder) as connection:
        connection.execute("drop table if exists reviews")
        connection.execute(
            "create table reviews (id int, text text, label text, score numeric(4, 2), made timestamptz, turns jsonb, "
            "tags text[], key uuid)"
        )
        connection.execute(
            "insert into reviews select n, '第 ' || n || ' 条评论', case when n % 3 > 0 then 'good' end, n * 0.25, "
            "'2026-01-02 03:04:05+00', '[{\"role\": \"user\"}]', array['a', 'b'], "
            "'00000000-0000-0000-0000-000000000001' from generate_series(0, 9) as n"
        )
    return postgres


def test_rows_of_postgresql(filled: str, tmp_path: Path) -> None:
    path = take(tmp_path, filled, "select * from reviews where text like '第%' and id >= 0::int order by id")
    table = pq.read_table(path)
    assert table.num_rows == 10
    assert table.slice(1, 1).to_pylist() == [
        {
            "id": "1",
            "text": "第 1 条评论",
            "label": "good",
            "score": "0.25",
            "made": "2026-01-02 03:04:05+00:00",
            "turns": '[{"role": "user"}]',
            "tags": '["a", "b"]',
            "key": "00000000-0000-0000-0000-000000000001",
        }
    ]
    source = SourceConfig.model_validate({"sql": {"url": filled, "query": "select 1"}})
    assert Input(position=0, path=path, digest="0" * 64, config=source).name.startswith("postgresql-postgres-")
    found = read(path, tmp_path / "out", label="label")
    assert len(found.rows) == 6
    assert {row["reason"] for row in found.rejected} == {"no_label"}


def test_postgresql_streams_in_flat_memory(filled: str, tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for count in (20_000, 100_000):
        tracemalloc.start()
        path = take(tmp_path, filled, f"select repeat('x', 400) || n as text from generate_series(1, {count}) as n")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert pq.ParquetFile(path).metadata.num_rows == count
    assert peaks[1] < 1.3 * peaks[0]


def test_nothing_in_postgresql_can_be_changed(filled: str, tmp_path: Path) -> None:
    for query in ("delete from reviews", "with gone as (delete from reviews returning *) select * from gone"):
        with pytest.raises(UserError, match="The database at postgresql") as caught:
            take(tmp_path, filled, query)
        assert PASSWORD not in str(caught.value)
    assert pq.read_table(take(tmp_path, filled, "select id from reviews")).num_rows == 10


def test_the_password_is_nowhere(filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    take(tmp_path, filled, "select id from reviews", said)
    for wrong, value in (("a query", "select nothing from nowhere"), ("another", "select '" + PASSWORD[:1] + "' from")):
        with pytest.raises(UserError) as caught:
            take(tmp_path, filled, value)
        said.append(f"{wrong} {caught.value}")
    monkeypatch.setenv("DANLU_TEST_PASSWORD", PASSWORD + "!")
    with pytest.raises(UserError, match="password authentication failed for user") as caught:
        take(tmp_path, filled, "select id from reviews", refresh=True)
    said.append(str(caught.value))
    held = [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert held
    assert not [text for text in said if PASSWORD in text]
    assert not [data for data in held if PASSWORD.encode() in data]


def test_postgresql_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = f"postgresql+psycopg://{getpass.getuser()}@/postgres?host={tmp_path}"
    with pytest.raises(UserError, match="The database at postgresql.* says: .*"):
        take(tmp_path, url, "select 1")


def test_null_only_columns_and_empty_results(filled: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gave no rows"):
        take(tmp_path, filled, "select * from reviews where false")
    path = take(tmp_path, filled, "select id, null as text from reviews")
    assert pq.read_table(path)["text"].null_count == 10
