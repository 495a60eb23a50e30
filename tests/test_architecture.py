"""The walls of the house: who may import whom, how large a room may grow, what the library may not do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "textxfer"
FLOORS = {
    "errors": 0,
    "registry": 0,
    "section": 0,
    "labels": 0,
    "records": 0,
    "command_line": 0,
    "one_file_page": 0,
    "disk": 0,
    "sources": 1,
    "heads": 1,
    "metrics": 1,
    "recipe": 1,
    "data": 2,
    "modeling": 2,
    "tasks": 3,
    "evaluation": 4,
    "training": 5,
    "report": 6,
    "publishing": 6,
    "serving": 6,
    "adaptation": 7,
    "job": 7,
    "run": 8,
    "search": 9,
    "commands": 10,
    "__main__": 11,
}
MOST_LINES_OF_A_FILE = 320
MOST_LINES_OF_A_FUNCTION = 60
FREE_OF_HEAVY_IMPORTS = ("tasks", "metrics", "sources", "recipe", "commands", "errors", "registry", "section", "labels")
HEAVY = ("torch", "transformers", "sklearn", "datasets", "accelerate", "pandas")

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Gives the modules that a file imports anywhere, even inside functions or for types alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            if node.module == "textxfer":
                yield from ((f"textxfer.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield str(node.module), node.lineno


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for module, line in imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] != "textxfer" or len(parts) == 1:
            continue
        other = parts[1]
        allowed = other == room or FLOORS[other] < FLOORS[room] or FLOORS[room] == FLOORS[other] == 0
        assert allowed, f"line {line}: {room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]})"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_rooms_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES_OF_A_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            told = len((ast.get_docstring(node, clean=False) or "").splitlines())
            length = (node.end_lineno or node.lineno) - node.lineno + 1 - told
            assert length <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in FREE_OF_HEAVY_IMPORTS], ids=name_of)
def test_light_rooms_import_nothing_heavy(path: Path) -> None:
    tree = ast.parse(path.read_text())
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in top:
        for module, line in imports(node):
            assert module.split(".")[0] not in HEAVY, f"line {line}: {module} stands at module level"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_library_never_prints(path: Path) -> None:
    if room_of(path) in ("commands", "command_line", "__main__", "run") or name_of(path) == "training/observers.py":
        return
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_private_names_stay_in_their_package(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("textxfer"):
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            own_package = str(node.module).split(".")[1:2] == [room_of(path)]
            assert not private or own_package, f"line {node.lineno}: {private} of {node.module}"


def test_only_anatomy_knows_architectures() -> None:
    from textxfer.modeling.anatomy import FAMILIES

    allowed = {"modeling/anatomy", "modeling/build.py"}
    for path in FILES:
        if any(name_of(path).startswith(place) for place in allowed):
            continue
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        assert not set(texts) & set(FAMILIES), f"{name_of(path)} names an architecture"


def test_every_recipe_field_is_documented() -> None:
    from textxfer import registry
    from textxfer.recipe import freeze_sections, hub_section, sections, small_data_section
    from textxfer.section import Section

    kinds = [
        kind
        for module in (sections, freeze_sections, hub_section, small_data_section)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Section)
    ]
    kinds += [registry.config(shelf, name) for shelf in ("tasks", "heads") for name in registry.names(shelf)]
    for kind in kinds:
        for name, field in kind.model_fields.items():
            assert field.description, f"{kind.__name__}.{name} has no text under it"
