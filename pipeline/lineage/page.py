"""What made a model version, as one HTML page that needs no other file: a drawn graph, and tables of every fact."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rich.cells import cell_len

from pipeline.formatting import counted, moment, shown
from pipeline.lineage.query import Lineage
from pipeline.lineage.tree import (
    SHORT,
    WARNINGS,
    File,
    Stage,
    facts,
    is_code,
    is_of_another_run,
    made,
    rebuilding,
    scores,
    short,
    stages_of,
)
from stages.reporting.page import page

TEMPLATE = Path(__file__).parent / "page.html.jinja"
PRETRAINED = "model.pretrained"  # the parameter that names an input which is no file of the record

# Of the graph, in units of its SVG.
BOX, PADDING, HEAD, LINE, FOOT = 316, 14, 32, 18, 8
MARGIN, ROW_GAP, COLUMN_GAP, LANE, CORNER, FAN = 4, 34, 26, 18, 8, 22
CELL = 7.4  # no character of a monospaced font is wider at the size that the template gives the labels
LISTED = 6  # files of a box; a report has dozens


@dataclass(frozen=True)
class Line:
    """A line of a box: a text, and what stands at its right end."""

    text: str
    aside: str = ""
    warns: bool = False


@dataclass(frozen=True)
class Node:
    """What is to be drawn as one box: `data`, a `stage` or the `version`; `told` is its title in full."""

    kind: str
    title: str
    lines: list[Line]
    told: str
    row: int
    column: int

    @property
    def height(self) -> int:
        """As much as its lines need."""
        return HEAD + LINE * len(self.lines) + FOOT


@dataclass(frozen=True)
class Graph:
    """Nodes, each with the upper left corner of its box; the `d` of a path for each arrow; all of it in words."""

    boxes: list[tuple[Node, int, int]]
    arrows: list[str]
    width: int
    height: int
    description: str


def render(lineage: Lineage) -> str:
    """The page. The same lineage gives the same text."""
    installed = lineage["environment"]["packages"]
    return page(
        TEMPLATE,
        {"shown": shown},
        lineage=lineage,
        scores=scores(lineage),
        facts=[(label, value) for label, value in facts(lineage) if label not in ("machine", "packages")],
        registered=moment(lineage["registered"]),
        rebuilding=rebuilding(lineage),
        warnings=WARNINGS,
        environment={key: value for key, value in lineage["environment"].items() if key != "packages"},
        packages=installed,
        stages=[
            {
                "name": name,
                "command": stage["command"],
                "made": made(lineage, name),
                "params": stage["params"],
                "data": [file for file in stage["inputs"] if not is_code(file)],
                "code": [file for file in stage["inputs"] if is_code(file)],
                "outputs": stage["outputs"],
            }
            for name, stage in stages_of(lineage).items()
        ],
        graph=laid_out(*graph_of(lineage)),
        box=BOX,
        padding=PADDING,
        head=HEAD,
        line=LINE,
        counted=counted,
    )


def graph_of(lineage: Lineage) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """The nodes and, by source and target, the arrows.

    Column 0 is the pipeline, a row for each stage and for what it made. What comes into it from elsewhere has a column
    of its own at the right, but for the first.
    """
    nodes: list[Node] = []
    arrows: list[tuple[Node, Node]] = []
    holders: list[tuple[Node, list[File]]] = []
    pretrained: Node | None = None
    row = 0

    def add_source(title: str, lines: list[Line]) -> Node:
        node = _node("data", title, lines, row=row, column=max((node.column for node in nodes), default=-1) + 1)
        nodes.append(node)
        return node

    for name, stage in stages_of(lineage).items():
        data = [file for file in stage["inputs"] if not is_code(file)]
        sources = [node for node, files in holders if _share(data, files)]
        held = [file for _, files in holders for file in files]
        for folder, files in _by_folder([file for file in data if not _share([file], held)]).items():
            node = add_source(folder, _listed(files))
            holders.append((node, files))
            sources.append(node)
        if PRETRAINED in stage["params"]:
            pretrained = pretrained or add_source(*_pretrained(stage["params"]))
            sources.append(pretrained)
        row += bool(nodes)
        node = _node("stage", name, _stage_lines(lineage, name, stage), row=row)
        nodes.append(node)
        arrows += [(source, node) for source in sources]
        last = node
        if stage["outputs"]:
            row += 1
            folder = _common_folder(stage["outputs"])
            last = _node("data", folder, _listed(stage["outputs"]), row=row)
            nodes.append(last)
            arrows.append((node, last))
            holders.append((last, stage["outputs"]))
    version = _node("version", f"{lineage['name']}/{lineage['version']}", _version_lines(lineage), row=row + 1)
    return [*nodes, version], [*arrows, (last, version)]


def laid_out(nodes: list[Node], arrows: list[tuple[Node, Node]]) -> Graph:
    """Where each box stands, and how the arrows go around those between.

    An arrow to the next row goes down. One that passes over a row goes down a lane at the right of the pipeline, one
    from another column below its box; both come to the right edge of their target, those from farther right lower, so
    that none crosses one that comes to the same box.
    """
    rows = {row: max(node.height for node in nodes if node.row == row) for row in {node.row for node in nodes}}
    tops = {row: MARGIN + sum(rows[above] + ROW_GAP for above in range(row)) for row in rows}
    lanes = [node for node in nodes if any(_needs_lane(*arrow) for arrow in arrows if arrow[0] is node)]
    edge = MARGIN + BOX
    columns = max(node.column for node in nodes)
    first = edge + LANE * len(lanes) + COLUMN_GAP  # the left edge of column 1
    lefts = {0: MARGIN} | {column: first + (column - 1) * (BOX + COLUMN_GAP) for column in range(1, columns + 1)}

    paths = []
    for source, target in arrows:
        top, middle = tops[source.row], tops[source.row] + source.height // 2
        if not source.column and not _needs_lane(source, target):
            paths.append(f"M{MARGIN + BOX // 2} {top + source.height}V{tops[target.row]}")
            continue
        entering = [arrow[0] for arrow in arrows if arrow[1] is target and (arrow[0].column or _needs_lane(*arrow))]
        entering.sort(key=lambda node: (node.column, lanes.index(node) if node in lanes else 0))
        into = tops[target.row] + target.height * (entering.index(source) + 1) // (len(entering) + 1)
        if source.column:
            own = [arrow[1] for arrow in arrows if arrow[0] is source]
            down = lefts[source.column] + FAN * (own.index(target) + 1)
            start = f"M{down} {top + source.height}"
        else:
            down = edge + LANE * (lanes.index(source) + 1)
            start = f"M{edge} {middle}H{down - CORNER}q{CORNER} 0 {CORNER} {CORNER}"
        paths.append(f"{start}V{into - CORNER}q0 {CORNER} {-CORNER} {CORNER}H{edge}")
    return Graph(
        boxes=[(node, lefts[node.column], tops[node.row]) for node in nodes],
        arrows=paths,
        width=(lefts[columns] + BOX if columns else first) + MARGIN,
        height=max(tops[node.row] + node.height for node in nodes) + MARGIN,
        description=". ".join(_said(source, target) for source, target in arrows) + ".",
    )


def fit(text: str, cells: int) -> str:
    """The text, or as much of its end as fits: the ends of paths tell them apart."""
    if cell_len(text) <= cells:
        return text
    while cell_len(text) >= cells:
        text = text[1:]
    return f"…{text}"


def _said(source: Node, target: Node) -> str:
    return f"{source.told} {'goes into' if target.kind == 'stage' else 'makes'} {target.told}"


def _needs_lane(source: Node, target: Node) -> bool:
    return not source.column and target.row > source.row + 1


def _node(kind: str, title: str, lines: list[Line], *, row: int, column: int = 0) -> Node:
    """A node with its texts cut to the width of a box; a title is in a larger font."""
    cells = int((BOX - 2 * PADDING) / CELL)
    fitted = [Line(fit(line.text, cells - cell_len(line.aside) - 1), line.aside, line.warns) for line in lines]
    return Node(kind, fit(title, int(cells * 0.85)), fitted, title, row, column)


def _stage_lines(lineage: Lineage, name: str, stage: Stage) -> list[Line]:
    code = sum(is_code(file) for file in stage["inputs"])
    told = stage["made_by"]
    known = [f"{counted(code, 'file')} of code"] if code else []
    lines = [Line(", ".join([*known, counted(len(stage["params"]), "parameter")]))]
    if told is None:
        return [*lines, Line("not told who computed it", warns=True)]
    lines.append(Line(moment(told["time"]), (told["commit"] or "")[:SHORT]))
    if is_of_another_run(lineage, name):
        lines.append(Line("of another run, from the cache", warns=True))
    return lines


def _version_lines(lineage: Lineage) -> list[Line]:
    figures = [Line(f"F1 on {split}", f"{score:.4f}") for split, score in lineage["scores"].items()]
    aliases = [Line(f"@{alias}") for alias in lineage["aliases"]]
    return [*aliases, Line("digest", lineage["digest"][:SHORT]), *figures]


def _pretrained(params: dict[str, Any]) -> tuple[str, list[Line]]:
    sha256 = params.get("model.sha256")
    known = [Line("SHA-256 of the weights", sha256[:SHORT])] if sha256 else []
    return params[PRETRAINED], [Line("the pretrained encoder"), *known]


def _listed(files: list[File]) -> list[Line]:
    """The first files with their digests, and how many there are beyond."""
    folder = _common_folder(files)
    more = len(files) - LISTED
    shown_files = files if more <= 1 else files[:LISTED]  # a line can as well tell the one file as that there is one
    lines = [Line(file["path"].removeprefix(folder) or "MD5", short(file["digest"])) for file in shown_files]
    return lines if more <= 1 else [*lines, Line(f"and {more} more")]


def _by_folder(files: Iterable[File]) -> dict[str, list[File]]:
    folders: dict[str, list[File]] = {}
    for file in files:
        folders.setdefault(str(PurePosixPath(file["path"]).parent), []).append(file)
    return {_common_folder(files): files for files in folders.values()}


def _common_folder(files: list[File]) -> str:
    """The deepest folder that all files lie in, with a slash at its end; of one file alone its path."""
    paths = [PurePosixPath(file["path"]) for file in files]
    if len(paths) == 1:
        return str(paths[0])
    shared = [folder for folder in paths[0].parents if all(path.is_relative_to(folder) for path in paths)]
    return f"{shared[0]}/" if shared else ""


def _share(files: list[File], others: list[File]) -> bool:
    """Whether a file is among the others; a folder that the record has as one entry stands for all that is in it."""
    paths = [PurePosixPath(file["path"]) for file in others]
    return any(
        path.is_relative_to(file["path"]) or PurePosixPath(file["path"]).is_relative_to(path)
        for file in files
        for path in paths
    )
