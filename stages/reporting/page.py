"""Renders the templates of self-contained HTML pages."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def page(template: Path, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Render a Jinja template with every value escaped; the same values give the same text.

    jinja2.UndefinedError if the template uses a value that is not given.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(**values)
