"""Decode the bytes of text files: UTF-8, and CESU-8 of old exports; other encodings are refused by name."""

import shlex
from pathlib import Path

from stages.corpus.text.diagnostics import UnreadableError
from stages.corpus.text.raw_text import LONE_SURROGATE

BOMS = {  # those of UTF-32 first: one of them begins as one of UTF-16
    b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"
}  # fmt: skip
MODIFIED_NUL = b"\xc0\x80"  # as Java's modified UTF-8 writes it
REMOVE_NUL = "perl -pe 's/\\xc0\\x80//g'"
SHOWN_CHARACTERS = 40


def decode_text(path: Path, data: bytes, *, number: int) -> tuple[str, int]:
    """Decode whole lines of a file, of which the first is line `number`, and count the characters in CESU-8.

    CESU-8 writes a character beyond U+FFFF as two surrogates of three bytes each, as older Java and MySQL do. A BOM at
    the start of the file is removed. UnreadableError names another encoding where the bytes tell it, and a command that
    converts the file.
    """
    if number == 1:
        _refuse_wide_characters(path, data)
    if b"\0" in data:
        line = number + data.count(b"\n", 0, data.index(b"\0"))
        message = "holds a NUL byte, so it is not text. Is it of another format? Set data.format."
        raise UnreadableError("encoding", f"{path}:{line}", message)
    try:
        return data.decode("utf-8-sig" if number == 1 else "utf-8"), 0
    except UnicodeDecodeError as error:
        strict = error
    try:
        halves = strict.object.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _describe_fault(path, error, number) from None
    text = halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if lone := LONE_SURROGATE.search(text):
        line = number + text.count("\n", 0, lone.start())
        message = f"holds {lone[0]!a}, half of a surrogate pair in CESU-8, which is not a character. Remove it."
        raise UnreadableError("encoding", f"{path}:{line}", message)
    return text, len(halves) - len(text)


def _refuse_wide_characters(path: Path, data: bytes) -> None:
    """Raise UnreadableError if the start of a file is UTF-16 or UTF-32, by its BOM or by where its NUL bytes are."""
    encoding = next((name for mark, name in BOMS.items() if data.startswith(mark)), None)
    if encoding is None:
        even, odd = data[0::2].count(0), data[1::2].count(0)
        if (even + odd) * 5 >= len(data) and not (even and odd):
            encoding = "UTF-16BE" if even else "UTF-16LE"
    if encoding:
        message = f"is {encoding}, not UTF-8 text. Convert it: {_command(path, f'iconv -f {encoding} -t UTF-8')}"
        raise UnreadableError("encoding", path, message)


def _describe_fault(path: Path, error: UnicodeDecodeError, number: int) -> UnreadableError:
    """Return the error for bytes that are not UTF-8, with what to do about them."""
    data = error.object
    invalid = data[error.start : error.start + 4].hex(" ")
    line = number + data.count(b"\n", 0, error.start)
    decoded = data.decode("utf-8", "replace")
    faults, others = decoded.count("\ufffd"), sum(not character.isascii() for character in decoded)
    if data.startswith(MODIFIED_NUL, error.start):
        advice = f"It is a NUL as Java writes it. Remove it: {_command(path, REMOVE_NUL)}"
    elif error.reason == "unexpected end of data" and error.end == len(data):
        advice = "The file is cut off within a character. Fetch it again."
    elif others > 2 * faults:  # a conversion of it all would spoil the rest
        advice = f"Most of the file is UTF-8. List the lines that are not, and correct them: {_search(path)}"
    else:
        advice = _suggest_conversion(path, data, error.start)
    return UnreadableError("encoding", f"{path}:{line}", f"not UTF-8 ({error.reason}: {invalid}). {advice}")


def _suggest_conversion(path: Path, data: bytes, fault: int) -> str:
    """Show the line of a fault as Windows-1252, of which Latin-1 is a part: a reader sees whether that is right."""
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        command = _command(path, "iconv -f ENCODING -t UTF-8")
        return f"Convert it, with the name of its encoding (`iconv -l` lists them): {command}"
    line = data[data.rfind(b"\n", 0, fault) + 1 :].partition(b"\n")[0].decode("cp1252").strip()
    return (
        f"As Windows-1252 the line is {line[:SHOWN_CHARACTERS]!r}. If that is right: "
        f"{_command(path, 'iconv -f WINDOWS-1252 -t UTF-8')} (else with the encoding that it has)"
    )


def _command(path: Path, command: str) -> str:
    """Return a command line that replaces a file, perhaps a gzip, by what `command` makes of it."""
    old, new = shlex.quote(str(path)), shlex.quote(f"{path}.utf8")
    source, target = f"{command} {old}", new
    if path.suffix == ".gz":
        source, target = f"gzip -dc {old} | {command} | gzip", new
    return f"{source} > {target} && mv {new} {old}"


def _search(path: Path) -> str:
    """Return a command line that lists the lines of a file that are not UTF-8."""
    search, name = "LC_ALL=C.UTF-8 grep -naxv '.*'", shlex.quote(str(path))
    return f"gzip -dc {name} | {search}" if path.suffix == ".gz" else f"{search} {name}"
