"""The window on a screen, a virtual one: it plays, its keys steer it, and it closes."""

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.test_view import falling_box

PATIENCE = 120.0  # [s]; where OpenGL runs in software the first picture takes seconds
FRAMES = 6
NAMING = """
import sys
from pliant.sim.trajectory import Trajectory
from pliant.sim.view import pyvista_view
from pliant.sim.view.opengl import require_window
from pliant.sim.view.options import ViewOptions
from pliant.sim.view.stage import Stage

class Naming(pyvista_view.Window):
    def show(self, frame):
        super().show(frame)
        print(frame, flush=True)

require_window()
Naming(Stage(Trajectory.load(sys.argv[1]), ViewOptions(size=(240, 160)))).open()
"""


@contextlib.contextmanager
def screen() -> Iterator[dict[str, str]]:
    """A virtual screen, as the environment of what shall draw on it."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x240x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            yield os.environ | {"DISPLAY": f":{pipe.readline().strip()}"}
    finally:
        server.terminate()
        server.wait()


def lines_of(process: subprocess.Popen) -> "queue.Queue[int]":
    """The frames that a window shows, as it shows them."""
    seen: queue.Queue[int] = queue.Queue()
    threading.Thread(target=lambda: [seen.put(int(line)) for line in process.stdout], daemon=True).start()
    return seen


def settled(seen: "queue.Queue[int]", pause: float = 3.0) -> int | None:
    """The last frame shown before nothing new came for a while; None if nothing came at all."""
    last = None
    with contextlib.suppress(queue.Empty):
        while True:
            last = seen.get(timeout=pause)
    return last


@pytest.mark.slow
def test_a_window_plays_obeys_its_keys_and_closes(tmp_path):
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("no Xvfb, or no xdotool")
    falling_box().save(tmp_path / "fall.npz")
    with screen() as environment:
        command = [sys.executable, "-c", NAMING, str(tmp_path / "fall.npz")]
        window = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            seen = lines_of(window)
            played = [seen.get(timeout=PATIENCE) for _ in range(FRAMES + 2)]
            assert played == [*range(FRAMES), 0, 1]

            def press(key: str) -> None:
                subprocess.run(["xdotool", "key", key], env=environment, check=True)

            name = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "Pliant", "windowfocus", "mousemove", "99", "99"]
            subprocess.run(name, env=environment, check=True, timeout=PATIENCE)
            press("space")
            held = settled(seen)
            assert settled(seen) is None, "space did not hold it"
            press("Right")
            assert seen.get(timeout=PATIENCE) == (held + 1) % FRAMES
            press("Left")
            assert seen.get(timeout=PATIENCE) == held
            press("q")
            assert window.wait(timeout=PATIENCE) == 0
            assert window.stderr.read() == ""
        finally:
            window.kill()
