"""The front door: `danlu`. Imports nothing but Click until a command is chosen.

Every error leaves through here: a mistake of the user as one message, a bug as one line and a saved traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import danlu
from danlu.cli.group import ClosedPipe, LazyGroup
from danlu.core.errors import DanluError, Interrupted, from_os_error

_BROKEN_PIPE = 141  # what a shell reports for a process that SIGPIPE ended


@click.command(
    cls=LazyGroup,
    name="danlu",
    epilog="Exit codes: 0 done, 1 a bug, 2 your mistake, 3 refused by a gate, 4 a budget cap, 130 Ctrl-C.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(danlu.__version__, message="danlu %(version)s")
def cli() -> None:
    """One recipe from your own data to a live model.

    Know the cost before you pay, ship only what passes your tests, serve exactly what you tested.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (see `danlu.cli.table.EXIT_CODES`)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end a run
    try:
        code = cli.main(args=arguments, prog_name="danlu", standalone_mode=False)
        sys.stdout.flush()
    except (ClosedPipe, BrokenPipeError):
        return _leave_quietly()
    except (click.Abort, KeyboardInterrupt):
        return Interrupted.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        _complain(error.format_message())
        return 2
    except DanluError as error:
        _complain(str(error))
        return error.exit_code
    except Exception as error:
        return _unexpected(error)
    return code if isinstance(code, int) else 0


def _unexpected(error: Exception) -> int:
    """What is left: an error of the operating system that has a plain meaning, or a bug."""
    if isinstance(error, OSError):
        meaning = from_os_error(error)
        if meaning is not None:
            _complain(str(meaning))
            return meaning.exit_code
    where = _save_traceback(error)
    said = str(error).strip().splitlines()
    _complain(
        f"This is a bug in Danlu: {type(error).__name__}{': ' + said[0][:200] if said else ''}. "
        f"The details are in {where}; please send that file with a report."
    )
    return 1


def _complain(message: str) -> None:
    color = False if os.environ.get("NO_COLOR") else None
    click.secho(message, fg="red", err=True, color=color)


def _save_traceback(error: Exception) -> str:
    """Write what a report of a bug needs into a file that only the user may read; returns its path."""
    import platform
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="danlu-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(
                f"danlu {danlu.__version__}, Python {platform.python_version()}, {platform.platform()}\n\n{text}"
            )
    except OSError:
        click.echo(text, err=True)
        return "the lines above"
    return file.name


def _leave_quietly() -> int:
    # Python flushes standard output once more at exit; give it a place that accepts everything.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return _BROKEN_PIPE
