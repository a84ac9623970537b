"""Six methods to come are written in few lines with what a user may import; a page shows how, and its code runs."""

import ast
import re

import pytest

from tests.test_architecture import REPOSITORY

# What each took before candidates had a leading axis and failures an owner, in lines.
LINES = {
    "zeroth_order": 64,
    "variational": 88,
    "few_shot": 69,
    "actor_critic": 94,
    "bilevel": 64,
    "population": 81,
}
PUBLIC = {
    "pliant",
    "pliant.learn",
    "pliant.learn.control",
    "pliant.learn.models",
    "pliant.learn.objectives",
    "pliant.sim",
}


@pytest.mark.parametrize("name", LINES)
def test_a_method_to_come_is_short_and_imports_only_what_is_public(name):
    source = (REPOSITORY / "tests" / f"test_method_{name}.py").read_text()
    assert len(source.splitlines()) < LINES[name]
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert {module for module in imported if module.startswith(("pliant", "tests"))} <= PUBLIC


def test_the_page_on_writing_a_method_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    page = (REPOSITORY / "docs" / "write_your_own_method.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    monkeypatch.chdir(tmp_path)
    session: dict = {}
    for block in blocks:
        exec(compile(block, "write_your_own_method.md", "exec"), session)
