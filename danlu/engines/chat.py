"""How a conversation is put to a model: for those who may know engines but not learning."""

from __future__ import annotations

from danlu.learning.chat import read_chat

__all__ = ["read_chat"]
