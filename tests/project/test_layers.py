"""What may know what: ``gateway -> core <- portal``, and pure rules inside core."""

import ast
from pathlib import Path

import pytest

from tests.support.sources import PROGRAM_FOLDERS, ROOT, files, imported_names, shown, syntax_tree

WEB = ("flask", "flask_", "werkzeug", "wtforms", "waitress")
DATABASE = ("sqlalchemy", "alembic", "psycopg", "core.db", "core.models", "core.migrate",
            "core.revision")  # fmt: skip
EDGES = ("gateway", "portal")

# For each place: what it may not import, and what to do instead.
RULES = [
    ("core", (*WEB, "aiosmtpd", *EDGES), "core serves both edges: let the edge call core"),
    ("gateway", (*WEB, "portal"), "what both edges need belongs to core"),
    ("portal", ("aiosmtpd", "gateway"), "what both edges need belongs to core"),
    ("core/mail", DATABASE, "parsing is pure: let the caller look things up"),
    ("core/intake/follow_ups.py", DATABASE, "rules are pure: put what they need into the facts"),
    ("core/intake/decide.py", DATABASE, "rules are pure: put what they need into the facts"),
    ("core/intake/rules.py", DATABASE, "rules are pure: put what they need into the facts"),
    ("core/intake/identify.py", DATABASE, "rules are pure: put what they need into the facts"),
    ("core/routing/conditions.py", DATABASE, "conditions are pure: intake hands them the content"),
    ("core/routing/content.py", DATABASE, "conditions are pure: intake hands them the content"),
    ("core/routing/rule.py", DATABASE, "a rule is a value"),
    ("core/intake/decision.py", DATABASE, "a decision is a value"),
]


@pytest.mark.parametrize(("place", "forbidden", "instead"), RULES, ids=[rule[0] for rule in RULES])
def test_imports_go_one_way(place: str, forbidden: tuple[str, ...], instead: str) -> None:
    modules = modules_at(place)
    assert modules, f"{place} has moved: correct this table"
    wrong = [
        f"{shown(module)}:{line} imports {name}"
        for module in modules
        for line, name in imported_names(module)
        if any(is_part_of(name, prefix) for prefix in forbidden)
    ]
    assert not wrong, f"{instead}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("action", ["commit", "rollback"])
def test_only_the_database_commits(action: str) -> None:
    calls = [
        f"{shown(module)}:{node.lineno}"
        for module in files(*PROGRAM_FOLDERS, suffix=".py")
        for node in ast.walk(syntax_tree(module))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == action
    ]
    assert not calls, f"an edge opens Database.write(), which ends the transaction: {calls}"


@pytest.mark.parametrize("maker", ["create_engine", "sessionmaker"])
def test_only_the_database_makes_engines(maker: str) -> None:
    makers = {
        shown(module)
        for module in files(*PROGRAM_FOLDERS, suffix=".py")
        for _line, name in imported_names(module)
        if name.startswith("sqlalchemy") and name.endswith(f".{maker}")
    }
    assert makers == {"core/db.py"}


def is_part_of(name: str, prefix: str) -> bool:
    """``flask_`` covers every extension; other prefixes end at a dot."""
    return name.startswith(prefix) if prefix.endswith("_") else f"{name}.".startswith(f"{prefix}.")


def modules_at(place: str) -> list[Path]:
    """Return the module ``place``, or all modules of the folder ``place``."""
    path = ROOT / place
    return [path] if path.is_file() else files(place, suffix=".py")
