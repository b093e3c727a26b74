"""Pins the parent that params.yaml names by an alias: to the number of a version, and the digest of its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.checkout.params_file import write_setting
from pipeline.registry.versions import resolve
from stages.tracking.client import connect, translate_errors
from stages.tracking.parent import fetch_version, find_parent_version

PRETRAINED, REVISION, SHA256 = "model.pretrained", "model.revision", "model.sha256"


def pin_parent(document: Mapping[str, Any], settings: Sequence[str]) -> list[str]:
    """The settings that pin the parent of a params file, whose files are then in the project; none if it has no parent.

    A parent that is pinned stays so, unless `settings`, which the document holds already, name it anew. UserError,
    which lists what there is, if the registry does not have it.
    """
    encoder = document.get("model")
    if not isinstance(encoder, dict) or not isinstance(encoder.get("pretrained"), str):
        return []  # the check of the whole file says what is missing
    named = {setting.partition("=")[0] for setting in settings}
    if PRETRAINED in named and REVISION not in named:
        encoder = {**encoder, "revision": None}  # that of what the file named before
    parent = find_parent_version(encoder)
    is_pinned = str(encoder.get("revision")).isdecimal() and encoder.get("sha256")
    if parent is None or is_pinned:
        return []
    with translate_errors():
        number = int(resolve(connect(), parent.reference).version)
    digest = fetch_version(replace(parent, version=number))
    return [write_setting(REVISION, str(number)), write_setting(SHA256, digest)]
