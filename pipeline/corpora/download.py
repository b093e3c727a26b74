"""Download the files of a corpus from a path or a URL, with fsspec."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pipeline.signals import Stopped
from stages.errors import UserError, first_line

# The same names as in stages/corpus/folder.py; a test compares the two.
SPLIT_FOLDERS = ("train", "test", "dev", "valid", "validation", "val", "testa", "testb")
DATA_EXTENSIONS = (
    "jsonl", "ndjson", "json", "parquet", "csv", "ann",
    "conll", "conllu", "conll03", "iob", "iob2", "bio", "bioes", "tsv", "txt", "annotated",
    "v4_gold_conll", "v9_gold_conll", *SPLIT_FOLDERS,
)  # fmt: skip
LICENCE = re.compile(r"(licen[cs]e|copying)\b", re.IGNORECASE)

CONNECT_SECONDS = 30
READ_SECONDS = 60  # without a byte, after which a transfer fails; its total time is not limited
SECRET = re.compile(r"token|key|sig|secret|auth|pass|cred|x-(amz|goog)-", re.IGNORECASE)
AT_IS_NO_LOGIN = ("github", "git", "abfs", "abfss")  # there @ separates a repository or a container from the rest


@dataclass(frozen=True)
class Download:
    """The downloaded `files` by their paths in `folder`; `place` is the folder, or the one file in it."""

    folder: Path
    place: Path
    files: list[str]
    licence: str | None


def download(source: str, folder: Path, *, here: Path, has_class_folders: bool) -> Download:
    """Download the data files and the licence of `source` into `folder`; a relative path is relative to `here`.

    With `has_class_folders`, the files of its other folders are data too, of one text each: those of a folder for each
    class, also within train, dev and test, and the files seq.in and label, which belong together. UserError if that
    fails.
    """
    shown = remove_credentials(source)
    if not source.strip():
        raise UserError("the source is empty; it must be a path or a URL")
    target = folder.absolute()
    # The package of each protocol has its own errors, and fsspec has no common base class for them.
    try:
        with chdir(here):
            files, is_folder = _list_source(source, has_class_folders=has_class_folders)
            for path, (system, address) in files.items():
                _copy(system, address, target / path)
    except Stopped:
        logging.getLogger("asyncio").disabled = True  # fsspec's event loop ends during a transfer, and would log that
        raise
    except UserError:
        raise
    except Exception as error:
        raise UserError(_explain(shown, source, error)) from error
    licences = [path for path in files if LICENCE.match(path) and is_folder]
    text = (folder / licences[0]).read_text(encoding="utf-8", errors="replace") if licences else None
    return Download(folder, folder if is_folder else folder / next(iter(files)), list(files), text)


def _list_source(source: str, *, has_class_folders: bool) -> tuple[dict[str, tuple[Any, str]], bool]:
    """List the files to download and say whether the source is a folder; UserError if it is one without data.

    The files are keyed by their local paths; each has its file system and address.
    """
    import aiohttp
    import fsspec

    for protocol in ("http", "https"):
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        defaults = {"timeout": timeout, "trust_env": True}  # the environment may name a proxy
        fsspec.config.conf.setdefault(protocol, {}).setdefault("client_kwargs", defaults)
    system, address = fsspec.core.url_to_fs(source)
    information = system.info(address)
    is_http = "http" in (system.protocol if isinstance(system.protocol, tuple) else (system.protocol,))
    # HTTP has no folders, but servers may show one as a page of links.
    if information["type"] == "file" and not (is_http and information.get("mimetype", "").startswith("text/html")):
        return {_name(address, is_http=is_http) or "source": (system, address)}, False
    if information["type"] not in ("file", "directory"):
        raise UserError(f"{remove_credentials(source)} is neither a file nor a folder")
    found: dict[str, tuple[Any, str]] = {}
    folders: dict[str, str] = {}
    for entry, name, is_directory in _entries(system, address, is_http=is_http):
        if is_directory and name.lower() in SPLIT_FOLDERS:
            depth = 2 if has_class_folders else 1
            found |= _list_inside(system, entry, f"{name}/", is_http=is_http, depth=depth)
        elif is_directory:
            folders[name] = entry
        elif _is_data(name) or LICENCE.match(name):
            found[name] = system, entry
    if has_class_folders and all(map(LICENCE.match, found)):
        for name, entry in folders.items():
            found |= _list_inside(system, entry, f"{name}/", is_http=is_http, depth=1, is_class=True)
    if all(map(LICENCE.match, found)):
        names = ", ".join(sorted(folders))[:200]
        inside = f" It holds folders, of which one may be meant: {names}." if folders else ""
        raise UserError(
            f"{remove_credentials(source)} lists no annotated text: no file in it, or in a folder train, dev or test "
            f"of it, ends in {', '.join(DATA_EXTENSIONS)} or one of these and .gz.{inside} "
            "Of a file on a site such as GitHub, give the address of the raw file."
        )
    return dict(sorted(found.items())), True


def _list_inside(
    system: Any, folder: str, path: str, *, is_http: bool, depth: int, is_class: bool = False
) -> dict[str, tuple[Any, str]]:
    """List the data files in a folder, and in its folders to this depth; `path` is the folder's own, from the source.

    Folders in a folder hold a text in each file, as a class does; so may the folder itself.
    """
    found: dict[str, tuple[Any, str]] = {}
    for entry, name, is_directory in _entries(system, folder, is_http=is_http):
        if not is_directory and (_is_data(name) or ((is_class or depth > 1) and _is_plain(name))):
            found[f"{path}{name}"] = system, entry
        elif is_directory and depth > 1:
            found |= _list_inside(system, entry, f"{path}{name}/", is_http=is_http, depth=depth - 1, is_class=True)
    return found


def _entries(system: Any, address: str, *, is_http: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield address and name of each entry of a folder, and whether it is a folder."""
    if is_http and not address.endswith("/"):
        address += "/"
    for entry in system.ls(address, detail=True):
        name = _name(entry["name"], is_http=is_http)
        if name and not name.startswith("."):
            is_directory = entry["type"] == "directory" or (entry.get("islink") and system.isdir(entry["name"]))
            yield entry["name"], name, is_directory


def _name(address: str, *, is_http: bool) -> str:
    """Return the local name of a file or folder; empty if it has none, or one that leads outside the folder."""
    path = unquote(urlsplit(address).path) if is_http else address
    name = path.rstrip("/").rpartition("/")[2]
    return "" if name in (".", "..") else name


def _is_data(path: str) -> bool:
    return path.lower().removesuffix(".gz").rpartition(".")[2] in DATA_EXTENSIONS


def _is_plain(name: str) -> bool:
    """Whether a file of no extension may be a text of a class, or hold the texts or the labels of a split."""
    name = name.removesuffix(".gz")
    return "." not in name or name.isdecimal() or name == "seq.in"


def _copy(system: Any, address: str, path: Path) -> None:
    from fsspec.callbacks import TqdmCallback

    path.parent.mkdir(parents=True, exist_ok=True)
    style = {"desc": path.name, "unit": "B", "unit_scale": True, "leave": False, "disable": not sys.stderr.isatty()}
    with TqdmCallback(tqdm_kwargs=style) as callback:
        system.get_file(address, str(path), callback=callback)


def _explain(shown: str, source: str, error: Exception) -> str:
    """Explain to the user why a source cannot be downloaded; `shown` is the source without credentials."""
    cause = error.__cause__ or error  # fsspec turns every HTTP error into FileNotFoundError
    if isinstance(error, ImportError):
        python = os.path.relpath(sys.executable)
        return f"{shown}: {first_line(error)}. Install packages with: {python} -m pip install NAME"
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return f"{shown}: {first_line(error)}. A source is a path, or begins with https://, s3://, hf:// or the like."
    status = getattr(cause, "status", None)
    if status is not None:
        reason = f"the server answers {status} {getattr(cause, 'message', '')}".rstrip()
    elif isinstance(cause, FileNotFoundError):
        reason = "no such file or folder"
    elif isinstance(cause, TimeoutError):
        reason = f"no answer within {READ_SECONDS} s"
    else:
        reason = first_line(cause) if isinstance(cause, Exception) else str(cause)
    return f"{shown} cannot be fetched: {reason.replace(source, shown)}"


def remove_credentials(source: str) -> str:
    """Remove the login, and the keys and signatures of a query, from a source."""
    return "::".join(map(_remove_credentials, source.split("::")))


def to_portable_source(source: str) -> str:
    """Return the source for provenance.json: without credentials, and of an absolute path only the last component.

    An absolute path means nothing on another machine; a relative one may lead through a shared checkout.
    """
    parts = remove_credentials(source).split("::")
    return "::".join(_last_name(part) if _is_absolute(part) else part for part in parts)


def _remove_credentials(part: str) -> str:
    if "://" not in part:
        return part
    scheme, _, rest = part.partition("://")
    if scheme not in AT_IS_NO_LOGIN:
        host, slash, path = rest.partition("/")
        rest = host.rpartition("@")[2] + slash + path
    address, mark, query = rest.partition("?")
    if mark:
        pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if not SECRET.search(pair[0])]
        address += f"?{urlencode(pairs)}" if pairs else ""
    return f"{scheme}://{address}"


def _is_absolute(part: str) -> bool:
    return part.startswith(("/", "~", "file://", "local://"))


def _last_name(part: str) -> str:
    return PurePosixPath(part).name
