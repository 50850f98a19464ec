"""Which texts `normalise` would leave as they are, told for a whole batch at once.

Most texts need no mending, and finding that out text by text costs more than all other cleaning. Here one table look-up
a character tells that nothing in a text can be broken: it is made of printable ASCII, Han characters and the signs that
go with them only. Such a text has no mojibake (each pattern of `ftfy.badness` needs a letter with an accent, a Greek or
Cyrillic letter, a box or one of some other signs), no entity, no tag, no control, and is NFC already. What is left is
white space, which is even where only plain spaces and line feeds are used, no two spaces meet, none is at the edge of a
line, and at most one line is empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from danlu.metrics.shingles import parts_of

#: What a text may need: nothing, its white space made even, or anything.
NOTHING, WHITE_SPACE, ANYTHING = 0, 1, 2

_ANY, _SAFE, _UNEVEN, _SPACE, _LINE = 0, 1, 2, 3, 4

#: Signs that mean something only where both are in a text: of an entity, of a tag.
_BOTH = (("&", ";"), ("<", ">"))


def _classes() -> npt.NDArray[np.uint8]:
    classes = np.zeros(0x110000, dtype=np.uint8)
    classes[0x21:0x7F] = _SAFE
    # Han, but not the block of compatibility characters, which NFC changes; kana, but not the voicing marks that
    # combine; the punctuation of both, but not its wide space; forms of full width; and what Chinese typesetting
    # borrows: dashes, quotation marks, dots.
    for first, last in ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x3041, 0x3096), (0x30A1, 0x30FE), (0x3001, 0x3029)):
        classes[first : last + 1] = _SAFE
    classes[0xFF01:0xFFE7] = _SAFE
    # Numbers in circles and brackets, Roman ones, and shapes but for the lozenge, which mojibake is full of.
    for first, last in ((0x2160, 0x217F), (0x2460, 0x24FF), (0x25A0, 0x25C9), (0x25CB, 0x25FF), (0x2190, 0x2193)):
        classes[first : last + 1] = _SAFE
    for sign in "–—―‘’“”•…·∶★☆":
        classes[ord(sign)] = _SAFE
    for space in "\t\r\xa0\u3000":
        classes[ord(space)] = _UNEVEN
    classes[ord(" ")] = _SPACE
    classes[ord("\n")] = _LINE
    return classes


_CLASSES = _classes()


_RETURNS = re.compile("\r\n?")
_MANY_LINES = re.compile("\n{3,}")


def even(text: str) -> str:
    """What `normalise` makes of a text that needs its white space made even and nothing else."""
    lines = _RETURNS.sub("\n", text).split("\n")
    return _MANY_LINES.sub("\n\n", "\n".join([" ".join(line.split()) for line in lines])).strip()


def needs(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    """What each text [N] needs of `normalise` with its default configuration: `NOTHING`, `WHITE_SPACE`, `ANYTHING`.

    `NOTHING` is said only where it is so. A text that could do without may still be said to need something.
    """
    found = np.full(len(texts), NOTHING, dtype=np.uint8)
    for start, stop in parts_of(texts):
        # Each text between line feeds of its own, so that the edges of a text are those of a line.
        joined = "\n".join(["", *texts[start:stop], ""])
        classes = _CLASSES.take(np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32))
        sizes = np.fromiter(map(len, texts[start:stop]), dtype=np.int64, count=stop - start)
        bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes + 1)])
        space = classes >= _SPACE
        line = classes == _LINE
        # A space beside a space or at a line's edge, a space of another kind, a third line feed.
        uneven = (space[1:] & space[:-1] & ~(line[1:] & line[:-1])) | (classes[1:] == _UNEVEN)
        uneven[1:] |= line[2:] & line[1:-1] & line[:-2]
        # The text's own line feeds at its edges meet those between texts, where two are one too many.
        own = found[start:stop]
        filled = sizes > 0
        ends = bounds[1:]
        edges = line[bounds[:-1] + 1] | line[ends - 1]
        own[np.logical_or.reduceat(uneven, bounds[:-1]) | (edges & filled)] = WHITE_SPACE
        own[np.logical_or.reduceat(classes[1:] == _ANY, bounds[:-1])] = ANYTHING
        for one, other in _BOTH:
            if one in joined and other in joined:
                both = [one in text and other in text for text in texts[start:stop]]
                own[both] = ANYTHING
        own[~filled] = NOTHING
    return found
