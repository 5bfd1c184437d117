"""The page ``/docs``: the operations with their roles and examples, as one file that loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:14px/1.4 ui-monospace,monospace;background:#f3f3f3}pre{padding:.7rem;overflow:auto}"
    "section{border-top:1px solid #ccc;padding:.5rem 0}h2{font-size:1rem;margin:.5rem 0}b{margin-right:.5rem}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page(schema: Mapping[str, Any]) -> bytes:
    """Return the page of a documentation in the form of OpenAPI."""
    about = schema["info"]
    parts = "".join(
        part
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        for part in _operation(method, path, operation)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(about["title"])}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_text(about['title'])} {_text(about['version'])}</h1>"
        f"<p>{_text(about.get('description', ''))}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI {_text(schema["openapi"])}).</p>'
        f"{parts}</body></html>"
    ).encode()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    role = operation.get("x-role")
    yield f"<section><h2><b>{_text(method.upper())}</b><code>{_text(path)}</code></h2>"
    told = f"{operation.get('summary', '')}. {operation.get('description') or ''}"
    yield f"<p>{_text(told)} Role: {_text(role or 'none needed')}.</p>"
    names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    if names:
        yield f"<p>Parameters: {', '.join(f'<code>{_text(name)}</code>' for name in names)}</p>"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" in content:
            yield f"<pre>{_text(json.dumps(content['example'], indent=1))}</pre>"
    yield "</section>"


def _text(value: object) -> str:
    return html.escape(str(value))
