"""What the files of a classic model are called. Apart, so that who asks for a name need not load scikit-learn."""

from __future__ import annotations

MODEL = "classic.json"
NGRAMS = "ngrams.json"
WEIGHTS = "linear.safetensors"
TREES = "trees.txt"

#: All files of a model, whatever its kind; the first one is always there.
FILES = (MODEL, NGRAMS, WEIGHTS, TREES)
