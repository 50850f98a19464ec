"""How a text is made even, and what may be asked of it before it counts as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from danlu.core.config import Config, Resource

Share = Annotated[float, Field(ge=0.0, le=1.0)]
TextLanguage = Literal["zh", "en", "other"]
Preset = Literal["none", "gopher", "c4", "fineweb"]


class NormaliseConfig(Config):
    """How one text is made even before anything else looks at it."""

    mojibake: bool = Field(True, description="Mend text that was read in the wrong encoding, and stray HTML entities.")
    html: Literal["auto", "strip", "keep"] = Field(
        "auto",
        description="auto takes tags away where the text is plainly HTML (known tags, no fenced code); strip takes "
        "away whatever looks like a tag; keep leaves tags alone, as code and answers in HTML need it.",
    )
    controls: bool = Field(True, description="Take away control characters, directional marks and zero-width spaces.")
    white_space: Literal["even", "lines", "keep"] = Field(
        "even",
        description="even makes a run of spaces one; lines keeps indentation and inner spaces, as code needs it; both "
        "trim lines and leave one empty line of several. keep only makes line ends even.",
    )
    nfkc: bool = Field(
        False, description="Use Unicode's compatibility forms (NFKC): full width, ligatures, circled digits and more."
    )
    full_width_to_half: Literal["off", "letters_and_digits", "all"] = Field(
        "off", description="Make letters and digits of full width ASCII; all also makes Chinese ，！？（） ASCII."
    )
    traditional_to_simplified: bool = Field(
        False, description="Make Traditional Chinese Simplified (OpenCC's t2s; needs the extra chinese)."
    )


class LengthFilter(Config):
    """Texts that are too short or too long. A word is a word between spaces or one Han character."""

    min_characters: int = Field(1, ge=0, description="Fewest characters.")
    max_characters: int | None = Field(None, ge=1, description="Most characters; empty means no limit.")
    min_words: int = Field(0, ge=0, description="Fewest words.")
    max_words: int | None = Field(None, ge=1, description="Most words; empty means no limit.")


class LanguageFilter(Config):
    """Texts in another language than wanted."""

    keep: list[TextLanguage] = Field(
        ["zh", "en"], min_length=1, description="Languages that stay; all others are dropped."
    )
    share: Share = Field(0.5, description="Least share of the words that is in those languages, taken together.")
    min_words: int = Field(
        4, ge=1, description="Texts with fewer words (Han characters count as words) are not judged and stay."
    )


class RepetitionFilter(Config):
    """Texts that say the same again and again. Limits of Gopher: Rae et al. 2021, arXiv:2112.11446, table A1."""

    min_words: int = Field(
        50, ge=0, description="Texts with fewer words (Han characters) are not judged; Gopher drops them beforehand."
    )
    lines: Share = Field(0.30, description="Largest share of lines that repeat an earlier one.")
    paragraphs: Share = Field(0.30, description="Largest share of paragraphs that repeat an earlier one.")
    line_characters: Share = Field(0.20, description="Largest share of characters in repeated lines.")
    paragraph_characters: Share = Field(0.20, description="Largest share of characters in repeated paragraphs.")
    top_n_grams: list[Share] = Field(
        default_factory=lambda: [0.20, 0.18, 0.16],
        min_length=3,
        max_length=3,
        description="Largest share of characters in the most frequent run of 2, 3 and 4 words.",
    )
    duplicate_n_grams: list[Share] = Field(
        default_factory=lambda: [0.15, 0.14, 0.13, 0.12, 0.11, 0.10],
        min_length=6,
        max_length=6,
        description="Largest share of characters in runs of 5, 6, 7, 8, 9 and 10 words that occur more than once.",
    )
    han_characters_per_word: int = Field(
        2, ge=1, description="How many Han characters stand for one word of those runs in a Chinese text."
    )


class QualityFilter(Config):
    """Texts that are not prose. Limits of Gopher: Rae et al. 2021, arXiv:2112.11446, appendix A1.1."""

    min_words: int = Field(50, ge=0, description="Fewest words; one Han character is one word.")
    max_words: int = Field(100_000, ge=1, description="Most words; one Han character is one word.")
    min_mean_word_length: float = Field(3.0, ge=0.0, description="Least mean length of a word, in letters; not for zh.")
    max_mean_word_length: float = Field(10.0, ge=0.0, description="Largest mean length of a word, in letters; not zh.")
    symbols_per_word: float = Field(0.1, ge=0.0, description="Most hash signs for each word, and most ellipses.")
    bullet_lines: Share = Field(0.9, description="Largest share of lines that start with a bullet point.")
    ellipsis_lines: Share = Field(0.3, description="Largest share of lines that end with an ellipsis.")
    alphabetic_words: Share = Field(0.8, description="Least share of words with at least one letter or Han character.")
    stop_words: int = Field(
        2,
        ge=0,
        description="Fewest different stop words (the, be, to, of ...; 的, 了, 是 ...); not for other languages.",
    )


class PageFilter(Config):
    """Pages with little text of their own. Rules of C4: Raffel et al. 2020, arXiv:1910.10683, section 2.2.

    C4 cuts lines out of a page and then judges what is left. Here nothing is cut: the lines that C4 would cut do not
    count.
    """

    min_sentences: int = Field(3, ge=0, description="Fewest sentences in the lines that count.")
    min_words_per_line: int = Field(
        5, ge=0, description="A line with fewer words does not count; Han characters count."
    )
    terminal_punctuation: bool = Field(True, description="A line that does not end like a sentence does not count.")
    javascript: bool = Field(True, description="A line with the word JavaScript does not count.")
    policies: bool = Field(True, description="A line about cookies, privacy policy or terms of use does not count.")
    curly_brackets: bool = Field(True, description="Drop a text with a curly bracket: likely code.")
    lorem_ipsum: bool = Field(True, description="Drop a text with the filler words lorem ipsum.")


class LineFilter(Config):
    """Lists and leftovers of pages. FineWeb's own filters: Penedo et al. 2024, arXiv:2406.17557, section 3.6."""

    punctuated_lines: Share = Field(0.12, description="Drop where no larger share of lines ends with punctuation.")
    duplicate_line_characters: Share = Field(0.10, description="Drop where this share of characters repeats a line.")
    short_lines: Share = Field(0.67, description="Drop where this share of lines is short.")
    short_line_characters: int = Field(30, ge=1, description="A line with fewer characters than this is short.")
    han_character_width: int = Field(
        3, ge=1, description="How many characters one Han character counts for; Chinese says in 10 what English in 30."
    )


class GibberishFilter(Config):
    """Texts that no one meant to read: mashed keys, encoded bytes, one character again and again, wrong encodings."""

    mashed: Share = Field(0.5, description="Mashed keys: largest share of letters in Latin words that cannot be words.")
    bits_per_letter: float = Field(
        5.5,
        gt=0.0,
        description="A Latin word with more bits a letter than this, by the pairs of letters in English words, cannot "
        "be one. English words have 3.6 in the mean, random letters 6.6.",
    )
    min_letters: int = Field(7, ge=4, description="Letters from which a Latin word is judged by its pairs of letters.")
    encoded: Share = Field(0.5, description="Encoded bytes (base64, hex): largest share of characters.")
    repeated: Share = Field(0.9, description="One character again and again: largest share of characters.")
    min_repeated: int = Field(20, ge=4, description="Characters from which a text is judged by its repeats.")
    rare_han: Share = Field(
        0.4,
        description="Wrong encodings: largest share of Han characters outside the first levels of GB 2312 and Big5.",
    )
    min_han: int = Field(6, ge=1, description="Han characters from which a text is judged by its rare ones.")


class BlockedWordsFilter(Config):
    """Texts with a word from a list."""

    path: Resource = Field(
        description="Text file in UTF-8 with one word or phrase a line. Case and full width do not matter; words in "
        "letters are found as whole words, Han words wherever they stand."
    )


class OutlierFilter(Config):
    """The texts farthest from all others, by the distance between their vectors; needs all rows at once."""

    share: float = Field(0.01, gt=0.0, le=0.5, description="Share of rows to drop, the farthest first.")
    neighbours: int = Field(10, ge=1, le=1_000, description="How many nearest rows a row's distance is the mean of.")
    dimensions: int = Field(
        100, ge=2, le=1_000, description="Size of the vectors made from characters where there is no embedding model."
    )


#: What a preset sets where the recipe says nothing else: filter -> its configuration. Gopher's is for documents of
#: some length; short texts to classify would nearly all go, so nothing is dropped by default. Both C4 and FineWeb also
#: keep English only, by the probability that a classifier gives; that is for the recipe's `language` to ask.
PRESETS: dict[str, dict[str, Config]] = {
    "none": {},
    "gopher": {"repetition": RepetitionFilter(), "quality": QualityFilter()},
    "c4": {"page": PageFilter()},
    # FineWeb runs Gopher's filters, C4's but that on terminal punctuation, and its own.
    "fineweb": {
        "repetition": RepetitionFilter(),
        "quality": QualityFilter(),
        "page": PageFilter(terminal_punctuation=False),
        "lines": LineFilter(),
    },
}


class FiltersConfig(Config):
    """Which texts are dropped. A preset sets several filters; a filter that is written here replaces the preset's."""

    preset: Preset = Field(
        "none", description="Filters and limits of a published corpus: none, gopher, c4 or fineweb; for documents."
    )
    length: LengthFilter | None = Field(None, description="Drop texts that are too short or too long.")
    language: LanguageFilter | None = Field(None, description="Drop texts in other languages.")
    repetition: RepetitionFilter | None = Field(None, description="Drop texts that repeat themselves (Gopher).")
    quality: QualityFilter | None = Field(None, description="Drop texts that are not prose (Gopher).")
    page: PageFilter | None = Field(None, description="Drop pages with little text of their own (C4).")
    lines: LineFilter | None = Field(None, description="Drop lists and leftovers of pages (FineWeb).")
    gibberish: GibberishFilter | None = Field(None, description="Drop mashed keys, encoded bytes and broken text.")
    blocked_words: BlockedWordsFilter | None = Field(None, description="Drop texts with a word from your own list.")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = values.get("preset", "none")
        return {**PRESETS.get(preset if isinstance(preset, str) else "", {}), **values}

    @property
    def active(self) -> bool:
        """Whether there is any filter."""
        return any(getattr(self, name) is not None for name in type(self).model_fields if name != "preset")
