"""Several Python threads, copies and other processes: the same numbers as alone, or one sentence."""

import concurrent.futures
import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from pliant import sim
from pliant.learn import simulate
from pliant.sim import materials, shapes
from pliant.sim.sharing import Sharing

MODULI = (1e4, 2e4, 3e4)


def make_scene() -> sim.Scene:
    scene = sim.Scene(extent=((0, 0, 0), (1, 1, 1)), cell_size=0.1)
    law = materials.FixedCorotated(youngs_modulus=1e4, poissons_ratio=0.3)
    scene.add_mpm(
        shapes.Box(0.3, center=(0.5, 0.5, 0.3)), law, density=1000.0, spacing=0.05, name="jelly", velocity=(0, 0, -2)
    )
    scene.add_collider(shapes.Plane(center=(0, 0, 0.1)), friction=0.4, name="floor")
    return scene


def make_rollout() -> sim.Rollout:
    return make_scene().build(dt=5e-4, dtype="float64", threads=1).rollout(40, checkpoint_every=16)


def run(rollout, modulus):
    """The last positions and the gradient of their sum."""
    trajectory = rollout.forward({"jelly.youngs_modulus": modulus})
    seeds = {"jelly.position": np.ones_like(trajectory["jelly.position"])}
    return trajectory["jelly.position"].tobytes(), rollout.backward(seeds)["jelly.youngs_modulus"].tobytes()


def in_threads(work):
    with concurrent.futures.ThreadPoolExecutor(len(MODULI)) as pool:
        return [done.result(timeout=300) for done in [pool.submit(work, modulus) for modulus in MODULI]]


def test_threads_with_a_rollout_each_get_the_numbers_they_get_alone():
    expected = [run(make_rollout(), modulus) for modulus in MODULI]
    found = in_threads(lambda modulus: [run(make_rollout(), modulus) for _ in range(4)])
    assert found == [[numbers] * 4 for numbers in expected]


def test_threads_that_share_a_rollout_get_right_numbers_or_a_sentence():
    expected, rollout = [run(make_rollout(), modulus) for modulus in MODULI], make_rollout()

    def work(modulus):
        made = []
        for _ in range(5):
            try:
                made.append(run(rollout, modulus))
            except sim.InputError as error:
                assert "one thread between forward and what follows it" in str(error)
        return made

    for made, numbers in zip(in_threads(work), expected, strict=True):
        assert all(each == numbers for each in made)


def test_threads_that_share_a_rollout_through_simulate_get_right_numbers():
    rollout = make_rollout()

    def slope(modulus):
        leaf = torch.tensor(modulus, dtype=torch.float64, requires_grad=True)
        simulate(rollout, {"jelly.youngs_modulus": leaf})["jelly.position"].sum().backward()
        return float(leaf.grad)

    expected = [slope(modulus) for modulus in MODULI]
    assert in_threads(lambda modulus: [slope(modulus) for _ in range(4)]) == [[e] * 4 for e in expected]


def test_who_must_be_alone_waits_for_others_and_they_for_him():
    door, inside, seen = Sharing(), [], []

    def work(number):
        for step in range(50):
            with door.together():
                inside.append(number)
                if (step + number) % 7 == 0:
                    inside.remove(number)
                    with door.alone(), door.together():
                        seen.append(len(inside))
                    inside.append(number)
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads) and seen and not any(seen)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_of_a_model_and_a_rollout_are_their_own(way):
    rollout = make_rollout()
    expected = run(rollout, 1e4)
    model = way(rollout.model)
    assert run(model.rollout(40, checkpoint_every=16), 1e4) == expected
    twin = way(rollout)
    assert twin.frame_steps == rollout.frame_steps and twin.segment == rollout.segment
    trajectory = rollout.forward({"jelly.youngs_modulus": 1e4})
    assert run(twin, 5e4) != expected  # which would spoil what the first holds, were it the same memory
    seeds = {"jelly.position": np.ones_like(trajectory["jelly.position"])}
    assert rollout.backward(seeds)["jelly.youngs_modulus"].tobytes() == expected[1]


WORKER = """
import torch
from tests.test_threads import make_rollout

class Heights(torch.utils.data.Dataset):
    def __init__(self):
        self.rollout = make_rollout()
    def __len__(self):
        return 2
    def __getitem__(self, index):
        made = self.rollout.forward({"jelly.youngs_modulus": 1e4 * (1 + index)})
        return float(made["jelly.position"][-1, ..., 2].mean())

if __name__ == "__main__":
    data = Heights()
    loader = torch.utils.data.DataLoader(data, num_workers=1, multiprocessing_context="spawn")
    assert [float(batch) for batch in loader] == [data[0], data[1]]
    print("same")
"""


@pytest.mark.slow
def test_a_spawned_worker_of_a_data_loader_takes_a_rollout_along(tmp_path, repository):
    script = tmp_path / "worker.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(repository)!r})\n{WORKER}")
    done = subprocess.run([sys.executable, script], cwd=repository, capture_output=True, text=True, timeout=300)
    assert done.stdout.split()[-1:] == ["same"], done.stderr[-1000:]
