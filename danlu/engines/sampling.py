"""From logits to tokens to text: choosing the next token, and streaming whole characters.

Shapes: V tokens in the vocabulary; `...` any leading ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

#: What a tokenizer decodes bytes to that are no whole character (yet).
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float32 over the last axis, `[..., V]`; computed in float64."""
    probabilities: np.ndarray = np.exp(log_softmax(logits.astype(np.float64))).astype(np.float32)
    return probabilities


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities float32 [..., K] whose logits are divided by `temperature`; the most probable one stays so.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599); softmax forgets a constant, so logarithms of probabilities
    are logits as good as any. At 1 they come back as they are, bit for bit; what is 0 stays 0.
    """
    if temperature == 1.0:
        return probabilities
    with np.errstate(divide="ignore"):
        return softmax(np.log(probabilities.astype(np.float64)) / temperature)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural logarithms of the probabilities over the last axis, `[..., V]`, in the precision of `logits`."""
    shifted: np.ndarray = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def choose(logits: np.ndarray, temperature: float, top_p: float, random: np.random.Generator) -> int:
    """One token drawn from `logits` [V].

    `temperature` 0 takes the most probable. `top_p` draws from the fewest tokens whose probabilities reach it
    together (nucleus sampling: Holtzman et al. 2020, arXiv 1904.09751).
    """
    if temperature == 0:
        return int(logits.argmax())
    with np.errstate(over="ignore"):  # a temperature near 0 makes all but the best -inf, which is what it means
        scaled = (logits.astype(np.float64) - logits.max()) / temperature
    probabilities = np.exp(log_softmax(scaled))
    order = np.argsort(-probabilities, kind="stable")
    cumulative = np.cumsum(probabilities[order])
    kept = min(int(np.searchsorted(cumulative, top_p * cumulative[-1])) + 1, len(order))
    drawn = random.random() * cumulative[kept - 1]
    return int(order[min(int(np.searchsorted(cumulative[:kept], drawn, side="right")), kept - 1)])


def pieces(prompt: Sequence[int], tokens: Iterable[int], tokenizer: Tokenizer, stop: Sequence[str]) -> Iterator[str]:
    """The text that `tokens` add to `prompt`, piece by piece as they come.

    A character whose bytes are spread over tokens is held back until it is whole; so is what may be the beginning
    of a `stop` sequence. Nothing from the first stop sequence on is yielded. Bytes that never become a character
    are dropped.

    Tokens are spelt together with the group before them that ended in a whole character, because decoders treat
    the first token of a text differently (a leading space is lost) and spell runs of bytes as one.
    """
    seen = list(prompt)
    before, group = 0, len(seen)
    known = tokenizer.decode(seen, skip_special_tokens=True)
    held = ""
    for token in tokens:
        seen.append(token)
        text = tokenizer.decode(seen[before:], skip_special_tokens=True)
        if len(text) <= len(known) or text.endswith(_NO_CHARACTER):
            continue
        held += text[len(known) :].replace(_NO_CHARACTER, "")
        before, group = group, len(seen)
        known = tokenizer.decode(seen[before:], skip_special_tokens=True)
        found = [held.find(sequence) for sequence in stop if sequence in held]
        if found:
            held = held[: min(found)]
            break
        ready = len(held) - _open_stop(held, stop)
        if ready:
            yield held[:ready]
            held = held[ready:]
    if held:
        yield held


def _open_stop(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of `text` may be the beginning of a stop sequence."""
    longest = 0
    for sequence in stop:
        for size in range(1, min(len(sequence), len(text) + 1)):
            if text.endswith(sequence[:size]):
                longest = max(longest, size)
    return longest
