"""The drawing of the house in CONTRIBUTING.md, from the import graph.

python -m tests.house            print it
python -m tests.house --write    put it into CONTRIBUTING.md
"""

import argparse
from dataclasses import dataclass

import grimp
import networkx as nx

from tests.checkouts import ROOT

PACKAGES = ("pipeline", "stages")
RECIPES, SHARED = LOOSE = ("recipes", "shared")  # the two rooms of modules directly in a root package
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- the house: python -m tests.house --write -->", "<!-- end of the house -->"


@dataclass(frozen=True)
class House:
    """Rooms with their modules, and who imports whom.

    A room is a package, `__init__` not counted. Modules directly in a root package are two rooms: `recipes`, which no
    package imports, and `shared`, which some do.
    """

    rooms: dict[str, list[str]]
    room_imports: nx.DiGraph
    module_imports: nx.DiGraph


def read_house() -> House:
    """Build the import graph of both root packages; imports for type checking alone count too."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    packages = {name for name in graph.modules if (ROOT / name.replace(".", "/")).is_dir()}
    modules = sorted(graph.modules - packages)
    loose = {name for name in modules if _parent(name) in PACKAGES}
    shared = {name for name in loose if graph.find_modules_that_directly_import(name) - loose}

    rooms: dict[str, list[str]] = {}
    room_of: dict[str, str] = {}
    for name in modules:
        room_of[name] = _parent(name)
        if name in loose:
            room_of[name] += f".{SHARED if name in shared else RECIPES}"
        rooms.setdefault(room_of[name], []).append(name)

    module_imports, room_imports = nx.DiGraph(), nx.DiGraph()
    module_imports.add_nodes_from(modules)
    room_imports.add_nodes_from(rooms)
    for importer in modules:
        for imported in graph.find_modules_directly_imported_by(importer) - packages:
            module_imports.add_edge(importer, imported)
            if room_of[importer] != room_of[imported]:
                room_imports.add_edge(room_of[importer], room_of[imported])
    return House(rooms, room_imports, module_imports)


def mermaid(house: House) -> str:
    """A flowchart of the rooms. An arrow that follows from others (A to B to C, hence A to C) is left out."""
    lines = ["```mermaid", "flowchart TD"]
    for package in PACKAGES:
        lines.append(f"    subgraph {package}")
        for room, modules in sorted(house.rooms.items()):
            root, _, path = room.partition(".")
            if root == package:
                lines.append(f'        {_node(room)}["{_label(path, modules)}"]')
        lines.append("    end")
    arrows = sorted(nx.transitive_reduction(house.room_imports).edges)
    lines += [f"    {_node(importer)} --> {_node(imported)}" for importer, imported in arrows]
    return "\n".join([*lines, "```"])


def with_drawing(text: str, drawing: str) -> str:
    """The text of a page with the drawing between its two markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{drawing}\n\n{END}{after}"


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _node(room: str) -> str:
    return room.replace(".", "_")


def _label(path: str, modules: list[str]) -> str:
    if path in LOOSE:
        return "<br>".join(f"{name.rpartition('.')[2]}.py" for name in modules)
    return f"{path.replace('.', '/')}/<br>{len(modules)} file{'s' if len(modules) > 1 else ''}"


def main() -> None:
    """Print the drawing, or write it into CONTRIBUTING.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.house", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put it into CONTRIBUTING.md")
    drawing = mermaid(read_house())
    if parser.parse_args().write:
        text = CONTRIBUTING.read_text(encoding="utf-8")
        CONTRIBUTING.write_text(with_drawing(text, drawing), encoding="utf-8")
    else:
        print(drawing)


if __name__ == "__main__":
    main()
