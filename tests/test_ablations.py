"""The side-by-side study of learned laws: a law that fails says so, lines on disk are continued, and the table shows both."""

import json

import pytest

from benchmarks import ablations
from benchmarks.ablations import CASES, Case, read, study, table
from pliant.learn.models.laws import LAWS


def test_every_law_is_studied_but_those_that_are_no_ablation_of_an_isotropic_one():
    assert {case.arguments["law"] for case in CASES} == LAWS.keys() - {"anisotropic", "hencky"}


def test_a_plain_network_that_learned_too_little_fails_with_a_sentence(monkeypatch):
    build, steps = ablations.TESTS["reconstruction"]
    monkeypatch.setattr(ablations, "TESTS", {"reconstruction": (build, steps)})
    row = study(Case("plain", {"law": "plain"}), 0, epochs=1)
    assert row["errors [m^2]"] == {"reconstruction": None}
    assert "particle" in row["failed"]["reconstruction"] and "substep" in row["failed"]["reconstruction"]
    assert json.loads(json.dumps(row)) == row


def test_a_case_without_priors_is_held_against_the_same_motion(monkeypatch):
    """The true moduli make no error, because both motions come from one solver; measured 1e-12 in single precision."""
    from pliant.learn import TorchLaw
    from pliant.learn.models.laws import HenckyLaw
    from pliant.scenes import tumble
    from pliant.sim import materials

    law = TorchLaw(HenckyLaw(stress_scale=1e5))
    mu, lame = law.kirchhoff.moduli().tolist()
    same = materials.Hencky(
        youngs_modulus=mu * (3 * lame + 2 * mu) / (lame + mu), poissons_ratio=lame / (2 * (lame + mu))
    )
    scene = tumble.build().with_material("cube", same)
    monkeypatch.setattr(ablations, "TESTS", {"reconstruction": (lambda: scene, 100)})
    errors, failed = ablations.errors_of(law)
    assert not failed and errors["reconstruction"] == pytest.approx(0.0, abs=1e-9)


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert read(path) == [] == read(None)
    whole = {"case": "a", "seed": 0}
    path.write_text(json.dumps(whole) + "\n" + '{"case": "b", "se')
    assert read(path) == [whole] and path.read_text() == json.dumps(whole) + "\n"


def test_the_table_shows_medians_and_failures():
    def row(seed, error):
        return {"case": "law", "seed": seed, "errors [m^2]": dict.fromkeys(ablations.TESTS, error)}

    assert "2.0e-06 (1.0e-06 to fails)" in table([row(0, 1e-6), row(1, None), row(2, 2e-6)])
