"""A database query as a source: its rows, taken once into a Parquet file, a batch at a time.

The file is what is fingerprinted and read; it stays until `danlu run --refresh` takes a new one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from danlu.core.errors import DataError, MissingDependency, UserError
from danlu.core.lazy import need
from danlu.core.resource import Site
from danlu.core.resource import sha256_of as digest_of
from danlu.core.urls import filled, secret_in, told, without_secrets
from danlu.sources.snapshots import Fetched, Snapshots, key_of
from danlu.sources.values import as_text

#: Rows that the server is asked for at once.
_ROWS = 4096

#: What each kind of database needs beside SQLAlchemy, and how a session of it is made read-only.
_KINDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "postgresql": ("psycopg", {"postgresql_readonly": True}, ""),
    "mysql": ("pymysql", {}, "SET SESSION TRANSACTION READ ONLY"),
    "mariadb": ("pymysql", {}, "SET SESSION TRANSACTION READ ONLY"),
    "sqlite": ("", {}, "PRAGMA query_only = ON"),
}


class Query(Protocol):
    """What a recipe says about a database: a SQLAlchemy URL and a query."""

    @property
    def url(self) -> str:
        """Such as `postgresql+psycopg://reader:${DB_PASSWORD}@db.example/shop`."""
        ...

    @property
    def query(self) -> str:
        """One statement that returns rows."""
        ...


def snapshot(asked: Query, site: Site) -> Path:
    """The Parquet file with the rows of a query; columns are text, nulls stay nulls, nested values become JSON.

    Raises `UserError` for a URL or a query that does not work; no message ever holds the password.
    """
    refuse_password(asked.url)
    if site.cache is None:
        raise UserError("A database has to be read into the workspace, and there is none here.")
    alchemy: Any = need("sqlalchemy", extra="sql")
    text, secrets = filled(asked.url, "a source's url")
    url = _parse(text, asked.url, alchemy)
    kind = url.get_backend_name()
    if kind not in _KINDS:
        raise UserError(f"Danlu does not read {kind!r} databases; expected {', '.join(sorted(_KINDS))}.")
    place = without_secrets(asked.url)
    if kind == "sqlite":
        url = _found(url, site.base)
    # What the variables stand for is part of the place: another host is another database.
    cache, key = Snapshots(site.cache), key_of("sql", url.render_as_string(hide_password=True), asked.query)
    known = cache.find(key)
    if known is not None and not site.refresh:
        site.say(f"Using the rows taken from {place} on {known.taken}; --refresh takes them anew")
        return known.path
    staged = cache.parts(key) / "files"
    staged.mkdir(exist_ok=True)
    file = staged / f"{kind}-{_plain(url.database)}-{key[:8]}.parquet"
    site.say(f"Reading rows from {place}")
    try:
        count = _take(alchemy, url, asked.query, file, site)
    except ModuleNotFoundError as error:
        raise _no_driver(kind, url, error) from None
    except (alchemy.exc.SQLAlchemyError, TypeError, ValueError, ImportError) as error:
        # Drivers refuse options of the URL that they do not know with errors of Python's own.
        # Not `from error`: the driver's own error may hold the URL.
        raise UserError(_said(error, secrets, place)) from None
    if count == 0:
        raise DataError(f"The query on {place} gave no rows. Check the query, and that this user may see the rows.")
    fetched = Fetched(name=file.name, sha256=digest_of(file), bytes=file.stat().st_size, mark={})
    return cache.publish(key, place, staged, [fetched], several=False).path


def refuse_password(url: str) -> None:
    """Raises `UserError` for a URL with a password that is not `${NAME}`."""
    secret = secret_in(url)
    if secret is not None:
        raise UserError(
            f"The URL {without_secrets(url)!r} holds {secret}. A recipe is shared and recorded, so it may hold none: "
            "put it into an environment variable and write ${NAME} in its place, as in "
            "postgresql+psycopg://user:${DB_PASSWORD}@host/database."
        )


def _parse(text: str, asked: str, alchemy: Any) -> Any:
    """`text` as SQLAlchemy's URL; `asked` is what the recipe has of it, which a message may show."""
    try:
        url = alchemy.engine.make_url(text)
        url.get_backend_name()
    except (alchemy.exc.ArgumentError, ValueError):
        raise UserError(
            f"{without_secrets(asked)!r} is not the URL of a database. Expected, for instance, "
            "postgresql+psycopg://user:${DB_PASSWORD}@host/database, mysql+pymysql://... or sqlite:///file.db."
        ) from None
    return url


def _found(url: Any, base: Path) -> Any:
    """The URL of a SQLite file with its whole path. Raises `UserError` where it is not there: SQLite would make it."""
    path = (base / (url.database or "")).resolve()
    if not path.is_file():
        raise UserError(f"There is no SQLite file {url.database!r} ({path}). The path is relative to the recipe.")
    return url.set(database=str(path))


def _take(alchemy: Any, url: Any, query: str, file: Path, site: Site) -> int:
    """Write the rows of `query` to `file`; returns how many. Nothing is ever committed."""
    _, options, read_only = _KINDS[url.get_backend_name()]
    engine = alchemy.create_engine(url, poolclass=alchemy.pool.NullPool)
    with engine.connect().execution_options(**options) as connection:
        if read_only:
            connection.exec_driver_sql(read_only)
        # Without parameters, so that a % or a : in the query means itself.
        result = connection.execution_options(
            stream_results=True, max_row_buffer=_ROWS, no_parameters=True
        ).exec_driver_sql(query)
        if not result.returns_rows:
            raise UserError("The query of a source returns no rows: expected a SELECT. Danlu changes no database.")
        names = list(result.keys())
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"The query gives two columns named {twice!r}; name one of them otherwise with AS.")
        schema = pa.schema([(name, pa.string()) for name in names])
        count = 0
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in result.partitions(_ROWS):
                writer.write_table(_table(rows, schema, count))
                count += len(rows)
                site.pulse()
    engine.dispose()
    return count


def _table(rows: Sequence[Any], schema: pa.Schema, before: int) -> pa.Table:
    columns = [
        list(_texts(column, name, before)) for name, column in zip(schema.names, zip(*rows, strict=True), strict=True)
    ]
    return pa.table(columns, schema=schema)


def _texts(values: Sequence[Any], name: str, before: int) -> Iterator[str | None]:
    for number, value in enumerate(values, before + 1):
        if isinstance(value, bytes | bytearray | memoryview):
            raise DataError(
                f"Row {number:,} of the query holds bytes in column {name!r}. Convert them to text in the query, or "
                "leave the column out."
            )
        if value is None:
            yield None
        elif isinstance(value, dict | list | tuple):
            yield json.dumps(value, ensure_ascii=False, default=str)
        else:
            text = as_text(value)
            yield str(value) if text is None else text


def _plain(database: str | None) -> str:
    return re.sub(r"[^\w-]+", "-", Path(database or "").stem)[:40].strip("-") or "database"


def _no_driver(kind: str, url: Any, error: ModuleNotFoundError) -> MissingDependency:
    package, _, _ = _KINDS[kind]
    missing = error.name or package
    hint = "" if missing == package else f" (or write {kind}+{package}://, which danlu[sql] brings)"
    how = "'danlu[sql]'" if missing == package else missing
    return MissingDependency(
        f"Reading {url.drivername}:// needs the library {missing!r}, which is not installed. Install it with: "
        f"pip install {how}{hint}"
    )


def _said(error: Exception, secrets: set[str], place: str) -> str:
    """What the driver says, in one line and without what is secret."""
    inner = getattr(error, "orig", None) or error
    # MySQL's errors are (number, text).
    text = str(inner.args[-1] if getattr(inner, "args", None) else inner)
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    line = told(line, secrets)[:300].rstrip(".")
    return f"The database at {place} says: {line}. Check the url, the password's variable and the query."
