"""What the files of a report are called, beside the records of the runs."""

from __future__ import annotations

from danlu.core.errors import UserError

#: language -> ending
_ENDINGS = {"en": ".html", "zh": ".zh.html"}

LANGUAGES = tuple(_ENDINGS)


def report_file(verdict: str, language: str) -> str:
    """The name of the HTML file of a run that ended with `verdict`.

    A run without a verdict has a file of its own, so that it never takes the place of the report that has one.
    Raises `UserError` for a language there is no report in.
    """
    if language not in _ENDINGS:
        raise UserError(f"There is no report in {language!r}; expected {' or '.join(_ENDINGS)}.")
    return f"report{'.stopped' if verdict == 'stopped' else ''}{_ENDINGS[language]}"
