"""The lineage of a model version as one self-contained HTML page: a graph, and tables of every fact."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rich.cells import cell_len

from pipeline.formatting import format_count, format_time, format_value
from pipeline.lineage.query import Lineage
from pipeline.lineage.tree import (
    SHORT,
    WARNINGS,
    describe_rebuilding,
    execution_facts,
    format_scores,
    is_code,
    is_from_other_run,
    ordered_stages,
    shorten_digest,
    version_facts,
)
from stages.reporting.page import page
from stages.tracking.lineage_record import FileEntry, StageRecord
from stages.tracking.parent import find_parent_version

TEMPLATE = Path(__file__).parent / "page.html.jinja"
PRETRAINED = "model.pretrained"  # the parameter that names an input which the record does not list as a file

# The layout of the graph, in units of its SVG.
BOX, PADDING, HEAD, LINE, FOOT = 316, 14, 32, 18, 8
MARGIN, ROW_GAP, COLUMN_GAP, LANE, CORNER, FAN = 4, 34, 26, 18, 8, 22
CELL = 7.4  # the largest width of a character of a monospaced font at the template's size of labels
MAX_FILES = 6  # in a box; a report has dozens


@dataclass(frozen=True)
class Line:
    """A line of a box: a text at the left, and one at the right."""

    text: str
    aside: str = ""
    warns: bool = False


@dataclass(frozen=True)
class Node:
    """A box of the graph. `kind` is data, stage or version; `title` may be shortened, `full_title` is not."""

    kind: str
    title: str
    lines: list[Line]
    full_title: str
    row: int
    column: int

    @property
    def height(self) -> int:
        """The height of the box for its lines."""
        return HEAD + LINE * len(self.lines) + FOOT


@dataclass(frozen=True)
class Graph:
    """Each node with the upper left corner of its box, the `d` of a path for each arrow, and a description in words."""

    boxes: list[tuple[Node, int, int]]
    arrows: list[str]
    width: int
    height: int
    description: str


def render_page(lineage: Lineage) -> str:
    """The page. The same lineage gives the same text."""
    environment = vars(lineage.record.environment)
    return page(
        TEMPLATE,
        {"format_value": format_value},
        lineage=lineage,
        scores=format_scores(lineage),
        facts=[(label, value) for label, value in version_facts(lineage) if label not in ("machine", "packages")],
        registered=format_time(lineage.record.registered),
        rebuilding=describe_rebuilding(lineage),
        warnings=WARNINGS,
        environment={key: value for key, value in environment.items() if key != "packages"},
        packages=environment["packages"],
        stages=[
            {
                "name": name,
                "command": stage.command,
                "execution": execution_facts(lineage, name),
                "params": stage.params,
                "data": [file for file in stage.inputs if not is_code(file)],
                "code": [file for file in stage.inputs if is_code(file)],
                "outputs": stage.outputs,
            }
            for name, stage in ordered_stages(lineage).items()
        ],
        graph=lay_out(*build_graph(lineage)),
        box=BOX,
        padding=PADDING,
        head=HEAD,
        line=LINE,
        count=format_count,
    )


def build_graph(lineage: Lineage) -> tuple[list[Node], list[tuple[Node, Node]]]:
    """The nodes, and the arrows as pairs of source and target.

    Column 0 is the pipeline, with a row for each stage and one for its outputs. The first input from elsewhere is in
    column 0 too, each further one in its own column to the right.
    """
    nodes: list[Node] = []
    arrows: list[tuple[Node, Node]] = []
    data_nodes: list[tuple[Node, list[FileEntry]]] = []
    pretrained: Node | None = None
    row = 0

    def add_source(title: str, lines: list[Line]) -> Node:
        node = _node("data", title, lines, row=row, column=max((node.column for node in nodes), default=-1) + 1)
        nodes.append(node)
        return node

    for name, stage in ordered_stages(lineage).items():
        data = [file for file in stage.inputs if not is_code(file)]
        sources = [node for node, files in data_nodes if _overlap(data, files)]
        drawn = [file for _, files in data_nodes for file in files]
        for folder, files in _group_by_folder([file for file in data if not _overlap([file], drawn)]).items():
            node = add_source(folder, _file_lines(files))
            data_nodes.append((node, files))
            sources.append(node)
        if PRETRAINED in stage.params:
            pretrained = pretrained or add_source(*_pretrained(stage.params))
            sources.append(pretrained)
        row += bool(nodes)
        node = _node("stage", name, _stage_lines(lineage, name, stage), row=row)
        nodes.append(node)
        arrows += [(source, node) for source in sources]
        last = node
        if stage.outputs:
            row += 1
            folder = _common_folder(stage.outputs)
            last = _node("data", folder, _file_lines(stage.outputs), row=row)
            nodes.append(last)
            arrows.append((node, last))
            data_nodes.append((last, stage.outputs))
    version = _node("version", f"{lineage.name}/{lineage.version}", _version_lines(lineage), row=row + 1)
    return [*nodes, version], [*arrows, (last, version)]


def lay_out(nodes: list[Node], arrows: list[tuple[Node, Node]]) -> Graph:
    """Place the boxes, and route the arrows around those in between.

    An arrow to the next row goes straight down. One that skips a row uses a lane at the right of the pipeline, one from
    another column starts below its box. Both enter the right edge of their target, those from farther right lower, so
    that arrows into the same box do not cross.
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
            targets = [arrow[1] for arrow in arrows if arrow[0] is source]
            down = lefts[source.column] + FAN * (targets.index(target) + 1)
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
        description=". ".join(_describe_arrow(source, target) for source, target in arrows) + ".",
    )


def shorten(text: str, cells: int) -> str:
    """The text, or as much of its end as fits, since the ends of paths differ."""
    if cell_len(text) <= cells:
        return text
    while cell_len(text) >= cells:
        text = text[1:]
    return f"…{text}"


def _describe_arrow(source: Node, target: Node) -> str:
    verb = "is an input of" if target.kind == "stage" else "writes" if target.kind == "data" else "registers"
    return f"{source.full_title} {verb} {target.full_title}"


def _needs_lane(source: Node, target: Node) -> bool:
    return not source.column and target.row > source.row + 1


def _node(kind: str, title: str, lines: list[Line], *, row: int, column: int = 0) -> Node:
    """A node whose texts are shortened to the width of a box; a title has a larger font."""
    cells = int((BOX - 2 * PADDING) / CELL)
    fitted = [Line(shorten(line.text, cells - cell_len(line.aside) - 1), line.aside, line.warns) for line in lines]
    return Node(kind, shorten(title, int(cells * 0.85)), fitted, title, row, column)


def _stage_lines(lineage: Lineage, name: str, stage: StageRecord) -> list[Line]:
    code = sum(is_code(file) for file in stage.inputs)
    counts = [f"{format_count(code, 'file')} of code"] if code else []
    lines = [Line(", ".join([*counts, format_count(len(stage.params), "parameter")]))]
    execution = stage.made_by
    if execution is None:
        return [*lines, Line("execution not recorded", warns=True)]
    lines.append(Line(format_time(execution.time), (execution.commit or "")[:SHORT]))
    if is_from_other_run(lineage, name):
        lines.append(Line("by another run, from the cache", warns=True))
    return lines


def _version_lines(lineage: Lineage) -> list[Line]:
    scores = [Line(f"{lineage.score_name} on {split}", f"{score:.4f}") for split, score in lineage.scores.items()]
    aliases = [Line(f"@{alias}") for alias in lineage.aliases]
    return [*aliases, Line("digest", lineage.digest[:SHORT]), *scores]


def _pretrained(params: dict[str, Any]) -> tuple[str, list[Line]]:
    """Title and lines of the node of the pretrained encoder, or of the parent."""
    sha256 = params.get("model.sha256")
    digest = [Line("SHA-256 of the weights", sha256[:SHORT])] if sha256 else []
    parent = find_parent_version({"pretrained": params[PRETRAINED], "revision": params.get("model.revision")})
    if parent:
        return parent.reference, [Line("the model that it went on from"), *digest]
    return params[PRETRAINED], [Line("the pretrained encoder"), *digest]


def _file_lines(files: list[FileEntry]) -> list[Line]:
    """The first files with their digests, and the number of the others."""
    folder = _common_folder(files)
    more = len(files) - MAX_FILES
    listed = files if more <= 1 else files[:MAX_FILES]  # a single file needs no more space than its count
    lines = [Line(file.path.removeprefix(folder) or "MD5", shorten_digest(file.digest)) for file in listed]
    return lines if more <= 1 else [*lines, Line(f"and {more} more")]


def _group_by_folder(files: Iterable[FileEntry]) -> dict[str, list[FileEntry]]:
    folders: dict[str, list[FileEntry]] = {}
    for file in files:
        folders.setdefault(str(PurePosixPath(file.path).parent), []).append(file)
    return {_common_folder(files): files for files in folders.values()}


def _common_folder(files: list[FileEntry]) -> str:
    """The deepest folder that contains all files, with a slash at its end; the path of a single file."""
    paths = [PurePosixPath(file.path) for file in files]
    if len(paths) == 1:
        return str(paths[0])
    shared = [folder for folder in paths[0].parents if all(path.is_relative_to(folder) for path in paths)]
    return f"{shared[0]}/" if shared else ""


def _overlap(files: list[FileEntry], others: list[FileEntry]) -> bool:
    """Whether a file is among the others; an entry for a folder stands for all files in it."""
    paths = [PurePosixPath(file.path) for file in others]
    return any(
        path.is_relative_to(file.path) or PurePosixPath(file.path).is_relative_to(path)
        for file in files
        for path in paths
    )
