"""Renders the templates of self-contained HTML pages.

A template may extend `frame.html.jinja` (the head of the page, its style and its one script) and import
`parts.html.jinja` (figures, tables), which lie beside this file.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

# Control characters have no place in HTML: most are shown as nothing. Their pictures begin at U+2400.
PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {127: 0x2421}


def page(template: Path, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Render a Jinja template with every value escaped; the same values give the same text.

    Control characters in a value become their pictures, such as U+2400. jinja2.UndefinedError if the template uses a
    value that is not given.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=picture_controls,
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(**values)


def picture_controls(value: Any) -> Any:
    """The value, or a string with a picture in place of each control character."""
    return value.translate(PICTURES) if isinstance(value, str) and not isinstance(value, Markup) else value


def digest_script(script: str) -> str:
    """The digest by which the content security policy allows the one script of a page."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def shorten(text: str, length: int) -> str:
    """The first `length` characters of a text, with a note of how many more there are."""
    return text if len(text) <= length else f"{text[:length]} … ({len(text) - length:,} more characters)"
