"""The page at `/docs`: the API's schema as HTML, in one file that loads no other."""

import base64
import html
import re
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any

PAGE = files("voxray") / "assets" / "docs" / "index.html"
_CODE = re.compile(r"`([^`]+)`")


def page(schema: dict[str, Any]) -> str:
    """Return the page for a schema that `openapi.schema` returned."""
    form = schema["components"]["schemas"]["TranscriptionRequest"]["properties"]
    responses = schema["paths"]["/v1/audio/transcriptions"]["post"]["responses"]
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        about=_html(schema["info"]["description"]),
        version=html.escape(schema["info"]["version"]),
        operations=_rows(_operations(schema)),
        fields=_rows((name, field["description"]) for name, field in form.items()),
        errors=_rows((status, response["description"]) for status, response in responses.items()),
    )


def policy(page: str) -> str:
    """Return a Content-Security-Policy that allows the style in `page` and nothing else."""
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _operations(schema: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation["summary"]


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    cells = (
        f"<tr><th scope=row><code>{html.escape(a)}</code></th><td>{_html(b)}</td></tr>" for a, b in pairs
    )
    return "\n".join(cells)


def _html(text: str) -> str:
    """Return `text` as HTML, with what stands between backticks as code."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text))
