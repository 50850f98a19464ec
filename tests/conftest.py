"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's business: a busy one must not fail a test.
settings.register_profile("danlu", deadline=None)
settings.load_profile("danlu")
