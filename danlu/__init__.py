"""Danlu: one recipe from a small team's own data to a live model.

import danlu
result = danlu.run("recipe.yaml")
model = danlu.load(result.name)
model.predict(["..."])

A model that is asked two texts, or told columns, takes `danlu.Asked(text="...", pair="...", columns={...})`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from danlu.api import load, plan, run
    from danlu.core.asked import Asked
    from danlu.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["Asked", "Recipe", "__version__", "load", "plan", "run"]

_WHERE = {
    "run": "danlu.api",
    "plan": "danlu.api",
    "load": "danlu.api",
    "Asked": "danlu.core.asked",
    "Recipe": "danlu.recipe",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `import danlu` is instant."""
    if name not in _WHERE:
        raise AttributeError(f"module 'danlu' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)
