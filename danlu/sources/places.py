"""From a resolved place (a file, a folder, a pattern, an archive) to the data files it stands for, in a fixed order."""

from __future__ import annotations

import glob
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from danlu.core.errors import DataError
from danlu.core.resource import listed, sha256_of_stream
from danlu.sources.files import File, compression_of, member_name, members

#: The format that a file's ending stands for.
ENDINGS: dict[str, str] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".orc": "orc",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".docx": "word",
    ".pdf": "pdf",
}

#: Files that stand beside data and are none.
_BESIDE_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_BESIDE_DATA_STEMS = {"readme", "license", "licence", "copying", "notice", "changelog"}

#: What is written into a folder by `datasets.Dataset.save_to_disk` and lists the files that belong to it.
_STATE = "state.json"

#: Office files are zip archives, told by what is in them.
_OFFICE = {"xl/workbook.xml": "excel", "word/document.xml": "word"}
_OFFICE_ENDINGS = (".xlsx", ".xlsm", ".docx")
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, kw_only=True)
class Place:
    """The data files of one source. `several` where it is a folder, a pattern or an archive; `empty` were passed by."""

    name: str
    files: tuple[File, ...]
    several: bool
    empty: tuple[str, ...] = ()


def place_of(path: Path, format: str = "auto") -> Place:
    """The files that a resolved resource stands for.

    Of a folder, those in a format that is known by its ending (or in `format`); hidden files, README and the like
    are left out. Of a pattern, all that fit it.

    Raises `DataError` where there is none.
    """
    if path.is_file():
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty (0 bytes); expected rows of data. Was it saved or copied whole?")
        files = tuple(_of_file(path.name, path, format))
        if not files:
            raise DataError(f"All files in {path.name} are empty (0 bytes). Was it packed whole?")
        return Place(name=path.name, files=files, several=any(file.member is not None for file in files))
    named = _fitting(path, format) if path.is_dir() else listed(path)
    if not named:
        raise _nothing_in(path, format)
    full = [(name, file) for name, file in named if file.stat().st_size]
    if not full:
        raise DataError(
            f"All {len(named)} data files of {name_of(path)!r} are empty (0 bytes). Were they copied whole?"
        )
    return Place(
        name=name_of(path),
        files=tuple(file for name, found in full for file in _of_file(name, found, format)),
        several=True,
        empty=tuple(name for name, file in named if not file.stat().st_size),
    )


def name_of(path: Path) -> str:
    """What a place is called: the name of a file or folder, a pattern from its first changing part on."""
    changing = next((number for number, part in enumerate(path.parts) if glob.has_magic(part)), None)
    if changing is None or path.exists():
        return path.name
    return "/".join(path.parts[max(1, changing - 1) :])


def digests_of(place: Place, path: Path, digest: str) -> list[str]:
    """The SHA-256 of each file, hexadecimal; of a member of an archive, of what is unpacked.

    `digest` is that of `path`, already known.
    """
    return [digest if file.path == path and file.member is None else sha256_of(file) for file in place.files]


def sha256_of(file: File) -> str:
    """SHA-256 of a file as it lies on disk, or of a member of an archive as it is unpacked."""
    with file.open() if file.member is not None else file.path.open("rb") as stream:
        return sha256_of_stream(stream)


def office_format(path: Path) -> str | None:
    """`excel` or `word` for a zip archive that is one of these, else None."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return None
    return next((format for name, format in _OFFICE.items() if name in names), None)


def _fitting(folder: Path, format: str) -> list[tuple[str, Path]]:
    found = [(name, file) for name, file in listed(folder) if _is_data(name, format)]
    saved = {PurePosixPath(name).parent: file for name, file in listed(folder) if file.name == _STATE}
    belonging = {parent: _saved_files(state) for parent, state in saved.items()}
    return [
        (name, file)
        for name, file in found
        if belonging.get(PurePosixPath(name).parent) is None or file.name in belonging[PurePosixPath(name).parent]
    ]


def _is_data(name: str, format: str) -> bool:
    file = File(name=name, path=Path(name))
    plain = file.plain_name.lower()
    if plain in _BESIDE_DATA or plain.startswith("_") or PurePosixPath(plain).stem in _BESIDE_DATA_STEMS:
        return False
    if file.ending == ".zip":
        return True
    return file.ending in ENDINGS and format in ("auto", ENDINGS[file.ending])


def _saved_files(state: Path) -> set[str]:
    """The names of the Arrow files of a folder that `save_to_disk` wrote; others in it are left from its cache."""
    try:
        written = json.loads(state.read_text(encoding="utf-8"))
        names = {str(entry["filename"]) for entry in written["_data_files"]}
        moved = bool(written.get("_indices_data_files"))
    except (ValueError, KeyError, TypeError, OSError):
        raise DataError(
            f"{state.parent.name}/{state.name} is not the state that datasets.save_to_disk writes: expected a list "
            "_data_files. Save the data set again, or name its files one by one."
        ) from None
    if moved:
        raise DataError(
            f"The data set in {state.parent.name!r} was filtered or shuffled and saved with an index, which Danlu does "
            "not read. Call flatten_indices() before save_to_disk()."
        )
    return names


def _nothing_in(path: Path, format: str) -> DataError:
    names = [name for name, _ in listed(path)]
    hint = f" It holds {', '.join(names[:5])}." if names else " It is empty."
    known = "a known format" if format == "auto" else f"the format {format!r}"
    return DataError(
        f"{str(path)!r} has no data file in {known}.{hint} Expected {', '.join(sorted(set(ENDINGS)))}, plain or "
        "compressed (.gz, .zst, .bz2, .xz, .zip)."
    )


def _of_file(name: str, path: Path, format: str) -> Iterator[File]:
    with path.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(_ZIP) and not _is_office(name, path):
        yield from _of_archive(name, path, format)
    else:
        yield File(name=name, path=path, compression=compression_of(head))


def _is_office(name: str, path: Path) -> bool:
    """Also for one that cannot be read: its own reader says best what is wrong."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in _OFFICE_ENDINGS or office_format(path) is not None:
        return True
    return ending != ".zip" and not zipfile.is_zipfile(path)


def _of_archive(name: str, path: Path, format: str) -> Iterator[File]:
    found = members(path, name)
    fitting = [info for info in found if _is_data(info.filename, format)] or (found if len(found) == 1 else [])
    if not fitting:
        held = f"It holds {_shown(info.filename for info in found)}." if found else "It is empty."
        raise DataError(f"{name} has no data file. {held} Expected CSV, JSON Lines, text, Excel or Parquet in it.")
    for info in sorted(fitting, key=lambda info: info.filename):
        member = File(name=f"{name}/{member_name(info)}", path=path, member=info.filename)
        if info.file_size == 0:
            continue
        with member.open() as stream:
            head = stream.read(16)
        if head.startswith(_ZIP) and member.ending not in _OFFICE_ENDINGS:
            raise DataError(f"{member.name} is an archive inside an archive. Unpack {name} and name what is in it.")
        yield File(name=member.name, path=path, member=info.filename, compression=compression_of(head))


def _shown(names: Iterable[str]) -> str:
    listed_names = sorted(names)
    return ", ".join(listed_names[:5]) + (" and more" if len(listed_names) > 5 else "")
