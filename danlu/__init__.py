"""Danlu: one recipe from a small team's own data to a live model.

import danlu
result = danlu.run("recipe.yaml")
model = danlu.load(result.name)
model.predict(["..."])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from danlu.api import load, plan, run
    from danlu.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["Recipe", "__version__", "load", "plan", "run"]

_WHERE = {"run": "danlu.api", "plan": "danlu.api", "load": "danlu.api", "Recipe": "danlu.recipe"}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `import danlu` is instant."""
    if name not in _WHERE:
        raise AttributeError(f"module 'danlu' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)
