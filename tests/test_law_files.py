"""Learned laws on disk: the same law comes back, its card says what it is, and other files get their sentence."""

import json

import pytest
import safetensors.torch
import torch

from pliant.learn import TorchLaw
from pliant.learn.models.laws import HenckyLaw, HyperelasticNetwork, load_law, save_law
from pliant.learn.models.laws.card import KEY, read_card
from pliant.sim import InputError, StrainRange
from tests.law_samples import ALL, MAPS, deformations, make

SEEN = StrainRange(stretch=(0.7, 1.4), volume=(0.8, 1.2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cls", ALL)
def test_a_law_on_disk_is_the_same_law(cls, dtype, tmp_path):
    other = make(cls, spread=0.1)
    law = (TorchLaw(make(HenckyLaw), other) if cls in MAPS else TorchLaw(other)).to(dtype)
    save_law(law, tmp_path / "law.safetensors")
    again, F = load_law(tmp_path / "law.safetensors"), deformations().to(dtype)
    assert torch.equal(law.kirchhoff(F), again.kirchhoff(F)) and again.validity is None
    if cls in MAPS:
        assert torch.equal(law.return_map(F), again.return_map(F))


def test_options_that_shape_a_law_come_back(tmp_path):
    law = TorchLaw(HyperelasticNetwork(hidden=8, stress_scale=3e4))
    save_law(law, tmp_path / "law.safetensors")
    again = load_law(tmp_path / "law.safetensors")
    assert len(again.kirchhoff.network.last) == 8 and float(again.kirchhoff.stress_scale) == pytest.approx(3e4)


def test_the_card_says_what_the_law_is(tmp_path):
    law = TorchLaw(HenckyLaw(), make(MAPS[0]).float(), validity=SEEN)
    save_law(law, tmp_path / "law.safetensors", notes={"data": "tumble:sand", "errors [m^2]": {"reconstruction": 1e-6}})
    card = read_card(tmp_path / "law.safetensors")
    assert card["networks"] == {"kirchhoff": "HenckyLaw", "return_map": MAPS[0].__name__}
    assert card["priors"]["return_map"] == sorted(MAPS[0].PRIORS) and card["dtype"] == "float32"
    assert card["notes"]["errors [m^2]"] == {"reconstruction": 1e-6}
    assert card["validity"] == {"stretch": [0.7, 1.4], "volume": [0.8, 1.2]}
    assert load_law(tmp_path / "law.safetensors").validity == SEEN


def test_the_validity_given_replaces_the_laws_own(tmp_path):
    narrow = StrainRange(stretch=(0.9, 1.1), volume=(0.95, 1.05))
    save_law(TorchLaw(HenckyLaw(), validity=SEEN), tmp_path / "law.safetensors", validity=narrow)
    assert load_law(tmp_path / "law.safetensors").validity == narrow


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "law.safetensors"
    save_law(TorchLaw(HyperelasticNetwork(hidden=4)), path)
    return path


def with_card(path, change):
    """The file with its card changed."""
    with safetensors.safe_open(str(path), framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        card = json.loads(file.metadata()[KEY])
    change(card)
    safetensors.torch.save_file(weights, str(path), {KEY: json.dumps(card)})


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_file_is_told_to_be_damaged(saved, size):
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(InputError, match=r"law\.safetensors: damaged or no safetensors file.*save the law anew"):
        load_law(saved)


def test_files_that_are_no_law_get_their_sentence(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello " * 100)
    torch.save({"a": 1}, tmp_path / "old.pt")
    safetensors.torch.save_file({"a": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    for name, reason in (
        ("text.safetensors", "damaged"),
        ("old.pt", "damaged"),
        ("other.safetensors", "without a law"),
    ):
        with pytest.raises(InputError, match=reason):
            load_law(tmp_path / name)
    with pytest.raises(InputError, match="found no file"):
        load_law(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="found no file"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda card: card["networks"].update(kirchhoff="Evil"), "Evil"),
        (lambda card: card["networks"].update(kirchhoff=None), "kirchhoff"),
        (lambda card: card["options"].update(kirchhoff={"color": 3}), "color"),
        (lambda card: card["options"].update(kirchhoff={"hidden": 5}), "state_dict"),
        (lambda card: card["options"].update(kirchhoff={"hidden": 10**9}), "hidden: expected widths of layers from 1 to 4096"),
        (lambda card: card["networks"].update(kirchhoff="HenckyLaw"), "hidden"),
        (lambda card: card.update(dtype="float64"), "in torch.float32 where its card says torch.float64"),
        (lambda card: card.update(dtype="float16"), "float16"),
        (lambda card: card.update(validity={"stretch": [2.0, 1.0], "volume": [1.0, 1.0]}), "expected 0 < low"),
        (lambda card: card.update(format=99), "format 99"),
        (lambda card: card.clear(), "format"),
        (lambda card: card.pop("networks"), "networks"),
    ],
)
def test_a_card_that_does_not_fit_gets_its_sentence(saved, change, reason):
    with_card(saved, change)
    with pytest.raises(InputError, match=rf"law\.safetensors.*{reason}.*save it anew"):
        load_law(saved)


def test_weights_that_are_not_finite_are_refused(saved):
    law = load_law(saved)
    with torch.no_grad():
        law.kirchhoff.network.first[0, 0] = torch.nan
    save_law(law, saved)
    with pytest.raises(InputError, match=r"'kirchhoff\.network\.first' with numbers that are not finite"):
        load_law(saved)


def test_what_cannot_be_saved_is_refused_and_leaves_the_old_file(saved):
    before = saved.read_bytes()
    with pytest.raises(InputError, match="expected networks among"):
        save_law(TorchLaw(torch.nn.Linear(3, 3)), saved)
    with pytest.raises(InputError, match="expected notes that JSON can hold"):
        save_law(TorchLaw(HenckyLaw()), saved, notes={"model": object()})
    assert saved.read_bytes() == before
