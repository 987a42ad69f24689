"""The project's own files, for tests about the project."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM_FOLDERS = ("core", "gateway", "portal")


def files(*folders: str, suffix: str = "") -> list[Path]:
    """Return the files below the folders whose name ends with ``suffix``, sorted."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    )


def shown(path: Path) -> str:
    """Return the path as a reader of the repository writes it."""
    return path.relative_to(ROOT).as_posix()


@cache
def syntax_tree(path: Path) -> ast.Module:
    """Return the parsed source of a module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    """Give ``(line, dotted name)`` of all that a module imports, in functions and guards too.

    ``from core import db`` gives ``core.db``, so that a rule about ``core.db`` sees both spellings.
    """
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else ())))
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
