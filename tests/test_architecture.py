"""The rooms of the house: who may import whom, and what no file may hold."""

import ast
import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
ALLOWED = {
    "sim": {"sim"},
    "learn": {"sim", "learn"},
    "scenes": {"sim", "learn", "scenes"},
    "benchmarks": {"sim", "learn", "scenes", "benchmarks"},
    "tests": {"sim", "learn", "scenes", "benchmarks", "tests"},
}
PRODUCTION = ("sim", "learn", "scenes")
IMPORT_ALL_OF_SIM = """
import importlib, pkgutil, sys
from pliant import sim
for module in pkgutil.walk_packages(sim.__path__, "pliant.sim."):
    importlib.import_module(module.name)
others = ("torch", "pliant.learn", "pliant.scenes")
print(" ".join(sorted(name for name in sys.modules if name.startswith(others))))
"""


def sources(*rooms: str) -> list[pathlib.Path]:
    return sorted(path for room in rooms for path in (REPOSITORY / room).rglob("*.py"))


def name_of(path: pathlib.Path) -> str:
    return str(path.relative_to(REPOSITORY))


def root_of(module: str) -> str:
    """The top-level package of a dotted name, or the room where that package is Pliant."""
    return module.removeprefix("pliant.").partition(".")[0]


def imported_roots(source: str, *, at_import: bool = False) -> set[str]:
    """Top-level packages and rooms of Pliant that a source imports anywhere, or only outside functions."""
    tree = ast.parse(source)
    roots = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            roots |= {root_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            roots |= {root_of(f"{node.module}.{alias.name}") for alias in node.names}
        if not (at_import and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))):
            pending.extend(ast.iter_child_nodes(node))
    return roots


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_the_rooms_below_it(room):
    for path in sources(room):
        wrong = (imported_roots(path.read_text()) & set(ALLOWED)) - ALLOWED[room]
        assert not wrong, f"{name_of(path)} imports {', '.join(sorted(wrong))}; {room} may know {sorted(ALLOWED[room])}"


def test_the_import_rule_notices_a_wrong_import():
    inside = "def f():\n    from pliant.scenes.cli import main\n    import pliant.learn.run as r\n    from pliant import sim"
    assert imported_roots(inside) == {"scenes", "learn", "sim"}
    assert imported_roots("import numpy as np\ndef f():\n    import torch", at_import=True) == {"numpy"}


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_are_imported_by_the_name_of_the_package(room):
    """`import sim` would find whichever folder of that name comes first, and would load a second copy of ours."""
    for path in sources(room):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            bare = [name for name in names if name.partition(".")[0] in PRODUCTION]
            assert not bare, f"{name_of(path)}:{node.lineno} imports {bare[0]}; write pliant.{bare[0]}"


def test_sim_imports_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL_OF_SIM], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", f"importing all of sim also imported {done.stdout}"


def test_sim_names_torch_at_most_in_one_lazy_import():
    naming = [path for path in sources("sim") if "torch" in imported_roots(path.read_text())]
    assert len(naming) <= 1, f"one file may import torch lazily, for the FFT on CUDA; {[name_of(p) for p in naming]}"
    for path in naming:
        assert "torch" not in imported_roots(path.read_text(), at_import=True), f"{name_of(path)} imports torch eagerly"


def test_torch_meets_warp_in_three_files():
    meeting = [path for path in sources("learn", "scenes") if {"torch", "warp"} <= imported_roots(path.read_text())]
    assert {name_of(path) for path in meeting} <= {"learn/autograd.py", "learn/torch_law.py", "learn/pointwise.py"}


@pytest.mark.parametrize(
    ("fragment", "reason"),
    [
        ("wp.Tape(", "adjoints live in explicit buffers"),
        ("warp.Tape(", "adjoints live in explicit buffers"),
        ("nan_to_num", "a value that is not finite is reported by a Status"),
    ],
)
def test_production_code_never_contains(fragment, reason):
    holding = [name_of(path) for path in sources(*PRODUCTION) if fragment in path.read_text()]
    assert not holding, f"{fragment} in {holding}: {reason}"


def test_no_file_exceeds_500_lines():
    long = {name_of(path): len(path.read_text().splitlines()) for path in sources(*ALLOWED)}
    assert not {name: count for name, count in long.items() if count > (600 if name.startswith("tests/") else 500)}


def test_no_assert_speaks_to_users():
    holding = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources(*PRODUCTION)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not holding, holding


def test_no_file_is_called_utils():
    assert not [name_of(path) for path in sources(*ALLOWED) if path.stem in ("utils", "util", "helpers", "misc")]


def test_the_ci_runs_the_readme_test_command():
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]'"
    command = f"{install} && .venv/bin/python -m pytest -n 2 --dist loadfile"
    assert command in (REPOSITORY / "README.md").read_text()
    assert command in (REPOSITORY / ".ci" / "run").read_text()
