"""A frozen encoder: written beside a classic model as a form of its own, and the vectors that it makes of a part.

Vectors are made once, in portions that are kept in the stage's state: a run that was killed goes on behind the last
one, and ends with the same vectors. The engine that makes them is the one that will serve.

Shapes: N texts, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load_file, save

from danlu.core.artifact import write_json
from danlu.core.context import Context
from danlu.core.errors import ModelError
from danlu.core.store import write_atomically
from danlu.engines.base import FORM, Engine, Form
from danlu.engines.table import load
from danlu.learning.classic.config import EmbeddingsFeatures
from danlu.learning.classic.files import ENCODER
from danlu.learning.models import check_base, positions_of, quiet_transformers, read_config, start_from_base
from danlu.learning.pooling import write_modules
from danlu.learning.scratch import copy_tokenizer
from danlu.learning.text import auto_length, encode_whole, load_tokenizer
from danlu.train.config import TrainStage

#: Where the encoder's folder is among the stage's resources.
RESOURCE = "model.classic.features.base"

#: Texts of a portion: some seconds' work, and enough for batches of texts of like length.
_TEXTS_AT_ONCE = 1_024


def open_encoder(
    ctx: Context, config: TrainStage, features: EmbeddingsFeatures, texts: Sequence[str]
) -> tuple[Engine, int]:
    """Write the encoder into the artifact as a form, and open it; and how many weights it has.

    `texts` are the training texts, for its length.

    Raises `ModelError` for a model folder that cannot be used, and for a length that it cannot take.
    """
    base = ctx.resources[RESOURCE]
    check_base(base)
    quiet_transformers()
    tokenizer = load_tokenizer(base)
    positions, wanted = positions_of(read_config(base)), config.model.max_length
    if wanted == "auto":
        wanted = auto_length([len(row) for row in encode_whole(tokenizer, texts)], positions)
    if wanted > positions:
        raise ModelError(
            f"model.max_length is {wanted}, but the encoder takes at most {positions} tokens. Give at most that, or "
            "auto."
        )
    folder = ctx.out / ENCODER
    model = start_from_base(base, "encoder", [])
    dimensions = int(model.config.hidden_size)
    model.save_pretrained(folder, max_shard_size="1000GB")
    copy_tokenizer(base, folder, tokenizer, wanted)
    write_modules(folder, features.pooling, dimensions, wanted)
    form = Form(
        name="torch",
        engine="torch",
        task="embed",
        labels=None,
        max_length=wanted,
        batch_invariant=True,
        precision="float32",
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        pooling=features.pooling,
        dimensions=dimensions,
    )
    write_json(folder / FORM, form.as_json())
    return load(folder, ctx.threads), int(model.num_parameters())


def vectors(ctx: Context, encoder: Engine, name: str, texts: Sequence[str]) -> np.ndarray:
    """Vectors float32 [N, D] of the texts of the part called `name`; those that an earlier attempt kept are read.

    Raises `ModelError` where the encoder answers with something that is no number.
    """
    kept = ctx.state / f"vectors-{name}"
    kept.mkdir(parents=True, exist_ok=True)
    found = np.empty((len(texts), encoder.form.dimensions or 0), dtype=np.float32)
    with ctx.progress(f"embed {name}", len(texts), "texts") as bar:
        for begin in range(0, len(texts), _TEXTS_AT_ONCE):
            portion, path = texts[begin : begin + _TEXTS_AT_ONCE], kept / f"{begin}.safetensors"
            if not path.is_file():
                made = encoder.embed(portion)
                if not np.isfinite(made).all():
                    raise ModelError("The encoder answers with NaN, so that nothing can be learned from its vectors.")
                write_atomically(path, save({"vectors": made}))
            found[begin : begin + len(portion)] = load_file(path)["vectors"]
            bar.advance(len(portion))
    return found
