"""Anything that fsspec has a driver for, fetched once into the workspace's cache.

A file is fetched again only when the place says that it changed (ETag, checksum, time), or cannot say that it did
not. Passwords and keys come from the driver's own environment or configuration, never from the recipe.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.utils import get_protocol

from danlu.core.errors import DanluError, DataError, MissingDependency, UserError, first_line, from_os_error
from danlu.core.resource import Site
from danlu.core.urls import REFERENCE, hide_urls, secret_in, without_secrets
from danlu.sources.files import CHUNK_BYTES
from danlu.sources.snapshots import Fetched, Snapshots, key_of, link

#: What to install for each scheme, where it is not a package of the scheme's own name.
_DRIVERS = {
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "ftp": "fsspec",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "hdfs": "pyarrow",
    "http": "aiohttp",
    "https": "aiohttp",
    "oci": "ocifs",
    "oss": "ossfs",
    "s3": "s3fs",
    "s3a": "s3fs",
    "sftp": "paramiko",
    "smb": "smbprotocol",
    "ssh": "paramiko",
    "tos": "tosfs",
    "webdav": "webdav4",
    "webhdfs": "requests",
}

#: Schemes of fsspec that wrap others or are no place for data.
_NO_PLACES = {
    "arrow_hdfs",
    "async_wrapper",
    "asynclocal",
    "asyncwrapper",
    "blockcache",
    "cached",
    "data",
    "dir",
    "filecache",
    "generic",
    "git",
    "local",
    "reference",
    "simplecache",
    "tar",
    "zip",
}

_WEB = {"http", "https"}

#: HTTP's words for a file that is not there (RFC 9110: 404 Not Found, 410 Gone).
_GONE = (404, 410)

#: How to hand a password to the drivers that are asked for most.
_KEYS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use ~/.aws/credentials",
    "oss": "set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login",
    "http": "use ~/.netrc",
    "https": "use ~/.netrc",
}

#: What drivers say of a file by which a change is seen, from the surest on; a size alone proves nothing.
_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "md5",
    "checksum",
    "Content-MD5",
    "Digest",
    "Last-Modified",
    "LastModified",
    "last_modified",
    "mtime",
    "modified",
    "updated",
    "created",
    "generation",
    "VersionId",
)


@dataclass(frozen=True, kw_only=True)
class _Remote:
    """One file elsewhere: its name below the place, the driver's path, its size where known, its marks."""

    name: str
    path: str
    bytes: int | None
    mark: Mapping[str, str]


def check(url: str) -> None:
    """Raises `UserError` for a URL that no driver of fsspec is for, and for one with a password in it."""
    scheme = get_protocol(url)
    if "::" in url or scheme not in fsspec.available_protocols() or scheme in _NO_PLACES:
        raise UserError(
            f"Cannot read {without_secrets(url)!r}: expected a path, package://NAME/path, hf://OWNER/NAME, "
            "modelscope://OWNER/NAME, or a URL such as s3://, oss://, gs://, hdfs:// or https://."
        )
    secret = "a variable, which only the URL of a database may" if REFERENCE.search(url) else secret_in(url)
    if secret is not None:
        how = _KEYS.get(scheme, f"see the documentation of its driver, {_DRIVERS.get(scheme, scheme)}")
        raise UserError(
            f"The URL {without_secrets(url)!r} holds {secret}. A recipe is shared and recorded, so it may hold none: "
            f"take it out and {how}; any driver also reads ~/.config/fsspec/*.json."
        )


def fetch(url: str, site: Site) -> Path:
    """The local file or folder with what lies at `url`: a file, a folder, or a pattern (not for http).

    Raises `UserError` for what cannot be read, and names the package to install where a driver is missing.
    """
    check(url)
    if site.cache is None:
        raise UserError(f"{without_secrets(url)!r} has to be fetched, and there is no workspace to keep it in.")
    cache, key = Snapshots(site.cache), key_of(url)
    known = cache.find(key)
    try:
        system, path = fsspec.core.url_to_fs(url, **_options(url))
        several, remotes = _list(system, path, url)
    except ImportError as error:
        raise _no_driver(url, error) from None
    except DanluError:
        raise
    except Exception as error:  # drivers raise what the libraries below them raise
        if known is not None and _is_no_connection(error) and not site.refresh:
            site.say(f"{without_secrets(url)} cannot be reached; using what was fetched on {known.taken}")
            return known.path
        raise _failed(url, error) from error
    before = {} if known is None or site.refresh else {file.name: file for file in known.files}
    done = cache.done(key)
    same = {remote.name for remote in remotes if _unchanged(remote, before.get(remote.name))}
    if known is not None and len(same) == len(remotes) == len(known.files) and not site.refresh:
        return known.path
    whole = same | {remote.name for remote in remotes if _unchanged(remote, done.get(remote.name))}
    total = sum(remote.bytes or 0 for remote in remotes if remote.name not in whole)
    size = f" ({total / 1e6:,.1f} MB)" if total else ""
    site.say(f"Fetching {len(remotes) - len(whole):,} of {len(remotes):,} files from {without_secrets(url)}{size}")
    staged = cache.parts(key) / "files"
    files = []
    for remote in remotes:
        target = staged / remote.name
        if known is not None and remote.name in same:
            link(known.folder / remote.name, target)
            files.append(before[remote.name])
        elif remote.name in whole:
            files.append(done[remote.name])
        else:
            files.append(_download(system, remote, target, site, url))
            cache.add_done(key, files[-1])
    _drop_strangers(staged, {remote.name for remote in remotes})
    return cache.publish(key, without_secrets(url), staged, files, several=several).path


def _options(url: str) -> dict[str, Any]:
    # So that ~/.netrc and proxies are honoured.
    return {"client_kwargs": {"trust_env": True}} if get_protocol(url) in _WEB else {}


def _list(system: Any, path: str, url: str) -> tuple[bool, list[_Remote]]:
    """Whether the place is several files, and its files, sorted by name."""
    if get_protocol(url) in _WEB:
        name = PurePosixPath(unquote(urlsplit(url).path)).name.lstrip(".") or "download"
        return False, [_remote(name, path, system.info(path))]
    if glob.has_magic(path):
        root = path[: len(path) - len(path.lstrip("/"))] + "/".join(_fixed_parts(path))
        found = system.glob(path, detail=True)
    else:
        information = system.info(path)
        if information["type"] == "file":
            return False, [_remote(PurePosixPath(path).name.lstrip(".") or "download", path, information)]
        root, found = path, system.find(path, detail=True)
    files = [
        _remote(name.removeprefix(root).strip("/"), name, information)
        for name, information in sorted(found.items())
        if information["type"] == "file"
    ]
    files = [file for file in files if not any(part[:1] in {".", ""} for part in file.name.split("/"))]
    if not files:
        raise DataError(f"There is no file at {without_secrets(url)!r}. Check the address.")
    return True, files


def _fixed_parts(path: str) -> list[str]:
    parts = path.strip("/").split("/")
    return parts[: next(number for number, part in enumerate(parts) if glob.has_magic(part))]


def _remote(name: str, path: str, information: Mapping[str, Any]) -> _Remote:
    mark = {key: str(information[key]) for key in _MARKS if information.get(key)}
    size = information.get("size")
    return _Remote(name=name, path=path, bytes=None if size is None else int(size), mark=mark)


def _unchanged(remote: _Remote, known: Fetched | None) -> bool:
    return known is not None and bool(remote.mark) and remote.mark == known.mark and remote.bytes in (None, known.bytes)


def _download(system: Any, remote: _Remote, target: Path, site: Site, url: str) -> Fetched:
    """Stream one file to `target`; goes on where an earlier attempt at the very same file was cut off."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name says which state of the file it is part of; a file that cannot say so starts anew.
    state = key_of(repr(sorted(remote.mark.items())), str(remote.bytes)) if remote.mark else "new"
    part = target.with_name(f".{target.name}.{state[:16]}.part")
    if not remote.mark:
        part.unlink(missing_ok=True)
    digest = hashlib.sha256()
    try:
        with part.open("ab+") as out, system.open(remote.path, "rb") as source:
            done = _resume(out, source, digest)
            while chunk := source.read(CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                site.pulse()
            out.flush()
            os.fsync(out.fileno())
    except DanluError:
        raise
    except Exception as error:  # drivers raise what the libraries below them raise
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}:
            raise from_os_error(error) or error from error
        raise _failed(url, error) from error
    if remote.bytes is not None and done != remote.bytes:
        part.unlink()
        raise UserError(
            f"{remote.name} from {without_secrets(url)!r} came as {done:,} bytes; {remote.bytes:,} were announced. It "
            "changed meanwhile, or the connection broke: run again."
        )
    part.replace(target)
    return Fetched(name=remote.name, sha256=digest.hexdigest(), bytes=done, mark=remote.mark)


def _resume(out: Any, source: Any, digest: Any) -> int:
    """Move both to the end of what is already there; returns its bytes. Starts anew where the source cannot seek."""
    done: int = out.seek(0, os.SEEK_END)
    if not done:
        return 0
    try:
        source.seek(done)
    except (ValueError, OSError, NotImplementedError):
        out.truncate(0)
        return 0
    out.seek(0)
    while chunk := out.read(CHUNK_BYTES):
        digest.update(chunk)
    return done


def _drop_strangers(folder: Path, names: set[str]) -> None:
    """Files left by an earlier attempt that no longer belong to the place."""
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        if file.relative_to(folder).as_posix() not in names:
            file.unlink()


def _is_no_connection(error: BaseException) -> bool:
    error = _cause(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(
        names & {"ClientConnectionError", "EndpointConnectionError", "ServerTimeoutError", "ConnectTimeoutError"}
    )


def _cause(error: BaseException) -> BaseException:
    """What a driver's FileNotFoundError hides: the http driver raises one also when there is no connection."""
    if isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        return error.__cause__
    return error


def _no_driver(url: str, error: ImportError) -> MissingDependency:
    scheme = get_protocol(url)
    package = _DRIVERS.get(scheme, error.name or scheme)
    return MissingDependency(
        f"Reading {scheme}:// needs the package {package!r}, which is not installed. Install it with: "
        f"pip install {package}"
    )


def _failed(url: str, error: BaseException) -> UserError:
    shown = without_secrets(url)
    error = _cause(error)
    if isinstance(error, FileNotFoundError) or getattr(error, "status", None) in _GONE:
        return UserError(f"There is nothing at {shown!r}. Check the address.")
    return UserError(
        f"Could not fetch {shown!r}: {type(error).__name__}: {_said(error)}. Check the address, the "
        "connection, and that the driver has its credentials; or fetch it yourself and name the local file."
    )


def _said(error: BaseException) -> str:
    """What a driver says. Of an answer over HTTP only status and reason: its text names the signed address."""
    status, reason = getattr(error, "status", None), getattr(error, "message", None)
    if status is not None:
        return hide_urls(f"{status} {reason or ''}".strip())
    return hide_urls(first_line(error, 2_000))[:200]
