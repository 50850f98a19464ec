"""Templates as the makers of models write them (in the shape of ChatML, Llama 2 and Qwen 3), and conversations."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from danlu.core.artifact import write_json
from danlu.learning import scratch
from danlu.learning.chat import Turn

TEXTS = [
    "Where is my parcel? It will come on Monday. You are a friendly shop.",
    "我的包裹在哪里？周一会送到。你是一家友好的商店。",
    "And what does it cost? 12 euro, thank you! 多少钱？一共12元，谢谢！",
]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

INSTRUCTIONS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{% generation %}{{ ' ' + m['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
)

#: Thoughts are written in the last answer alone.
FORGETFUL = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def said(*turns: tuple[str, str]) -> list[Turn]:
    """Turns of which the assistant's are learned."""
    return [Turn(role=role, text=text, learn=role == "assistant") for role, text in turns]


PARCEL = said(
    ("system", "You are a friendly shop."),
    ("user", "Where is my parcel?"),
    ("assistant", "It will come on Monday."),
    ("user", "And what does it cost?"),
    ("assistant", "12 euro, thank you!"),
)
CHINESE = said(
    ("user", "我的包裹在哪里？"), ("assistant", "周一会送到。 "), ("user", "多少钱？"), ("assistant", "一共12元！")
)


def tokenizer_with(*special: str) -> Tokenizer:
    """A small tokenizer with these special tokens besides its own."""
    tokenizer = scratch.train_tokenizer(TEXTS * 3, scratch.DECODER, 400)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def write_folder(folder: Path, tokenizer: Tokenizer, template: str | None) -> Path:
    """A model folder as far as tokenizer and template go."""
    scratch.save_tokenizer(tokenizer, scratch.DECODER, folder, 512)
    if template is not None:
        import json

        settings = json.loads((folder / "tokenizer_config.json").read_text())
        write_json(folder / "tokenizer_config.json", settings | {"chat_template": template})
    return folder
