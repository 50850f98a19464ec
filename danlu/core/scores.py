"""What a score's name says of it, wherever it is read: in gates, in the report, in a search."""

from __future__ import annotations

#: Scores of which less is better; of all others more is.
LOWER_IS_BETTER = frozenset(
    {"masked_perplexity", "perplexity", "bits_per_character", "log_loss", "ece", "hamming_loss", "mae", "rmse"}
)
