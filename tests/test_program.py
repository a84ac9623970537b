"""Programs: phases of launches on several threads, with barriers that spin."""

import _thread
import threading
import time

import numpy as np
import pytest
import warp as wp

from pliant.sim.program import _TEAM, Program


@wp.kernel(enable_backward=False, module="unique")
def add_neighbours(first: int, source: wp.array(dtype=float), target: wp.array(dtype=float)):
    i = wp.tid() + first
    n = source.shape[0]
    target[i] = float(0.5) * (source[(i + 1) % n] + source[(i + n - 1) % n])


def smoothing(values: np.ndarray, threads: int) -> tuple[Program, wp.array]:
    """Two Jacobi sweeps a run: every entry needs what the other thread wrote in the phase before."""
    a, b = wp.array(values, dtype=float, device="cpu"), wp.zeros(len(values), dtype=float, device="cpu")
    program = Program(wp.get_device("cpu"), threads)
    share = len(values) // threads
    for source, target in ((a, b), (b, a)):
        program.phase()
        for thread in range(threads):
            program.launch(thread, add_neighbours, share, [thread * share, source, target])
    return program, a


def test_threads_wait_for_each_other_in_every_phase():
    values = np.random.default_rng(0).random(600)
    results = []
    for threads in (1, 2, 3):
        program, array = smoothing(values, threads)
        program.run(1003)
        results.append(array.numpy())
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_a_call_stands_between_what_was_recorded_before_and_after():
    program, array = smoothing(np.ones(8), 2)
    program.call(lambda: array.assign(array.numpy() + 1.0))
    program.launch(0, add_neighbours, 8, [0, array, array])
    program.run(3)
    assert np.allclose(array.numpy(), 4.0)


def test_two_callers_take_turns():
    programs = [smoothing(np.arange(64.0), 2) for _ in range(2)]
    callers = [threading.Thread(target=program.run, args=(2000,)) for program, _ in programs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30.0)
    assert not any(caller.is_alive() for caller in callers)
    assert np.array_equal(programs[0][1].numpy(), programs[1][1].numpy())


def test_an_interrupt_arrives_after_the_work_and_leaves_the_threads_usable():
    program, array = smoothing(np.arange(64.0), 2)
    threading.Timer(0.02, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            program.run(2000)
    time.sleep(0.05)
    program.run(16)
    assert np.isfinite(array.numpy()).all()


def test_what_an_action_raises_reaches_the_caller():
    def fail():
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        _TEAM.run([fail, lambda: None])
