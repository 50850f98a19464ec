"""The page at /docs: every address with an example to copy. Plain HTML, so that it works without the internet."""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Iterator
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.25rem; }
pre { background: #8882; padding: 0.75rem; border-radius: 6px; overflow-x: auto; }
:root { color-scheme: light dark; }
"""
#: What stands for the words in an address that the caller fills in.
_EXAMPLE_PATH = {"{name}": "MODEL"}


def docs_page(schema: dict[str, Any], base: str) -> str:
    """The page for an OpenAPI `schema` of a server whose addresses start with `base`, such as http://host:8000."""
    about = schema["info"]
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(about["title"])}</title>',
        f"<style>{_STYLE}</style></head><body>\n<h1>{html.escape(about['title'])}</h1>",
        *_paragraphs(about.get("description", "")),
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts += _operation(schema, base.rstrip("/"), path, method.upper(), operation)
    return "\n".join([*parts, "</body></html>\n"])


def _operation(schema: dict[str, Any], base: str, path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method} {html.escape(path)}</code> {html.escape(operation['summary'])}</h2>"
    yield from _paragraphs(operation.get("description", ""))
    for body in _examples(schema, operation) or [None]:
        yield f"<pre>{html.escape(_curl(base, path, body, guarded='security' in operation))}</pre>"


def _paragraphs(text: str) -> Iterator[str]:
    """Text whose paragraphs are parted by empty lines, with `code` between backticks."""
    for paragraph in filter(None, text.strip().split("\n\n")):
        pieces = html.escape(paragraph).split("`")
        yield f"<p>{''.join(f'<code>{p}</code>' if i % 2 else p for i, p in enumerate(pieces))}</p>"


def _examples(schema: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    """The examples that the body's model carries."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    reference = content.get("schema", {}).get("$ref", "")
    model = schema.get("components", {}).get("schemas", {}).get(reference.rpartition("/")[2], {})
    found: list[Any] = model.get("examples", [])
    return found


def _curl(base: str, path: str, body: Any, *, guarded: bool) -> str:
    for word, example in _EXAMPLE_PATH.items():
        path = path.replace(word, example)
    lines = [f"curl {shlex.quote(base + path)}"]
    if guarded:
        lines.append('-H "Authorization: Bearer $KEY"')
    if body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n     ".join(lines)
