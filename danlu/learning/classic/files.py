"""What the files of a classic model are called. Apart, so that who asks for a name need not load scikit-learn."""

from __future__ import annotations

MODEL = "classic.json"
NGRAMS = "ngrams.json"
WEIGHTS = "linear.safetensors"
TREES = "trees.txt"
FOREST = "forest.safetensors"
#: How cells beside a text are coded, for a model that is told some; the name that all models have for it.
COLUMNS = "columns.json"

#: All files of a model, whatever its kind; the first one is always there.
FILES = (MODEL, NGRAMS, WEIGHTS, TREES, FOREST, COLUMNS)

#: The folder of the encoder of a model over embeddings: a form of its own, as `danlu.engines.base` has them.
ENCODER = "encoder"
