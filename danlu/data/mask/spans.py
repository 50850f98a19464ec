"""What recognisers give back, and how overlapping findings become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """One value in a text: where it starts and ends (characters), its kind, and its canonical form.

    The canonical form is the same for every way of writing the value; pseudonyms are made of it. `near_miss` says
    that the value is called what it is but fails its checksum.
    """

    start: int
    end: int
    kind: str
    value: str
    near_miss: bool = False


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same findings without overlaps, in order of their start.

    Where findings overlap, all that they cover is one value, so that no part of any is left; its kind is that of the
    longest of them, or of the first given among equals.
    """
    merged: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda span: (span.start, span.start - span.end)):
        if not merged or span.start >= merged[-1].end:
            merged.append(span)
            longest = span.end - span.start
            continue
        last = merged[-1]
        if span.end - span.start > longest:
            longest = span.end - span.start
            merged[-1] = span._replace(start=last.start, end=max(last.end, span.end))
        elif span.end > last.end:
            merged[-1] = last._replace(end=span.end)
    return merged
