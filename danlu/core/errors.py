"""Every error that Danlu raises on purpose.

A message says what came, what was expected, and how to fix it.

    DanluError                     exit code
      UserError                    2    the user can mend it: recipe, file, column, model folder
        RecipeError                2    a recipe that cannot be read; carries file and line
        DataError                  2    a source that cannot be used
        ModelError                 2    a base model that cannot be used
        MissingDependency          2    an extra that is not installed
        Busy                       2    another run holds the workspace
        StorageError               2    a full disk, a read-only folder
      Refused                      3    a gate failed; an honest end, not a crash
      BudgetReached                4    a cap was reached; the work is saved and can go on
      Interrupted                  130  Ctrl-C; the work is saved and can go on
      StageCrashed                 1    a stage's process died (signal, out of memory, a bug)
"""

from __future__ import annotations

import errno
import re
from typing import ClassVar


class DanluError(Exception):
    """Root of the tree. `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class UserError(DanluError):
    """A mistake the user can mend; shown without a traceback."""

    exit_code: ClassVar[int] = 2


class RecipeError(UserError):
    """A recipe that cannot be read."""


class DataError(UserError):
    """A source that cannot be used."""


class ModelError(UserError):
    """A base model that cannot be used."""


class MissingDependency(UserError):
    """A library that an extra of Danlu brings is not installed."""


class Busy(UserError):
    """Another run holds the workspace."""


class StorageError(UserError):
    """The disk is full, or the folder cannot be written."""


class Refused(DanluError):
    """A release gate failed."""

    exit_code: ClassVar[int] = 3


class BudgetReached(DanluError):
    """A cap of the recipe's budget was reached; what was done is saved."""

    exit_code: ClassVar[int] = 4


class Interrupted(DanluError):
    """The user pressed Ctrl-C; what was done is saved."""

    exit_code: ClassVar[int] = 130


class StageCrashed(DanluError):
    """The process of a stage died without saying why."""


class PeerGone(RuntimeError):
    """A process of a gang cannot reach another one: what befell that one is what people should know.

    Never told to anybody as it is, so it is none of the errors above.
    """


#: How libraries written in Rust (safetensors, tokenizers, Daft) tell an error of the operating system.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def from_os_error(error: BaseException) -> UserError | None:
    """The `StorageError` that says what an error of the operating system means to a user, or None for any other.

    Takes an `OSError`, and errors of libraries that carry one in their text.
    """
    if not isinstance(error, OSError):
        number = _OS_ERROR.search(str(error))
        return from_os_error(OSError(int(number[1]), "")) if number else None
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StorageError(
            f"The disk is full, or a limit on its use is reached{where}. Free some space, or choose another disk with "
            "--workspace, and run the same command again: it continues from what was saved."
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return StorageError(
            f"No permission to use the file or folder{where}. Give yourself access, or choose a folder of "
            "your own with --workspace."
        )
    return None


#: The errors that a stage's process may hand to its parent by name.
BY_NAME: dict[str, type[DanluError]] = {
    kind.__name__: kind
    for kind in (
        DanluError,
        UserError,
        RecipeError,
        DataError,
        ModelError,
        MissingDependency,
        Busy,
        StorageError,
        Refused,
        BudgetReached,
        Interrupted,
        StageCrashed,
    )
}


def name_of(error: BaseException) -> str:
    """The name in `BY_NAME` under which a process hands `error` on."""
    return next((each.__name__ for each in type(error).__mro__ if each.__name__ in BY_NAME), StageCrashed.__name__)


def first_line(error: BaseException, characters: int = 200) -> str:
    """The first line of what an error says, at most so long and without a full stop; its type where it says nothing."""
    line: str = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return line[:characters].rstrip(". ")
