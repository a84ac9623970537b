"""The Python of the README runs as it stands, block after block in one session; only its film is drawn small."""

import re

import pytest

from tests.test_architecture import REPOSITORY

BLOCKS = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_readme_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    session: dict = {}
    for block in BLOCKS:
        assert 'mp4"' not in block or '"drop.mp4")' in block
        exec(compile(block.replace('"drop.mp4")', '"drop.mp4", size=(64, 48))'), "README.md", "exec"), session)
    assert {path.name for path in tmp_path.iterdir()} == {"drop.npz", "drop.mp4"}
    assert all(weight.grad.abs().max() > 0.0 for weight in session["network"].parameters())
    assert session["youngs_modulus"].grad.isfinite()
