"""The scenes and training problems of this folder, found by what a file defines and described without running it.

A scene is a file with a docstring (its first line is the description) and

    SETTINGS = Settings(dt=1e-4, steps=2000, record_every=20)       how it is run
    def build() -> sim.Scene (or a PeriodicBox)                     or build(*, seed) when something in it is random
    VARIANTS = ("jelly", "sand")                                    optional: what build(variant) takes
    def measure(trajectory) -> dict[str, float]                     its physics, as {"rebound height [m]": 0.12}; what is
                                                                    divided by theory or experiment ends in " / reference"
    def values(rollout) -> dict[str, array]                         optional: parameter values, such as poses over time
    def run(settings, **options) -> Trajectory                      optional: how it is run where one rollout is not enough

A training problem is a file, often called `train_x.py`, with a docstring and

    class Arguments                                                 a dataclass; every field becomes an option
    def train(arguments: Arguments) -> Run
"""

import ast
import dataclasses
import difflib
import functools
import importlib
import importlib.machinery
import math
import pathlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pliant.sim.rollout import Rollout
    from pliant.sim.scene import Scene
    from pliant.sim.trajectory import Trajectory

FOLDER = pathlib.Path(__file__).parent
Vector = tuple[float, float, float]
SCENE_NAMES = frozenset({"build", "measure", "SETTINGS"})
PROBLEM_NAMES = frozenset({"train", "Arguments"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a scene is run unless the command line says otherwise.

    `dt` [s] is the length of a substep; every `record_every`-th of the `steps` substeps is a frame, of the fields that
    `record` names. `camera` is its position and target [m]; None frames everything.
    """

    dt: float
    steps: int
    record_every: int = 20
    record: tuple[str, ...] | str = "auto"
    dtype: str = "float32"
    camera: tuple[Vector, Vector] | None = None


@dataclasses.dataclass(frozen=True)
class SceneSpec:
    """A scene ready to be built: `build() -> sim.Scene` and `measure(trajectory) -> {"quantity [unit]": value}`.

    `run(settings, **options)` takes the options of `scene.build`; without it one rollout of the built scene is the run.
    `build(variant)` takes one of `variants`.
    """

    name: str
    description: str
    settings: Settings
    build: Callable[..., "Scene"]
    measure: Callable[["Trajectory"], dict[str, float]]
    values: Callable[["Rollout"], dict[str, Any]] | None = None
    run: Callable[..., "Trajectory"] | None = None
    variants: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ProblemSpec:
    """A training problem ready to be run: `train(Arguments(...))` returns the run it leaves on disk."""

    name: str
    description: str
    arguments: type
    train: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A Python file known by its syntax tree alone: its name, path, description and top-level names."""

    name: str
    path: pathlib.Path
    description: str
    defines: frozenset[str]

    @property
    def is_scene(self) -> bool:
        return self.defines >= SCENE_NAMES

    @property
    def is_problem(self) -> bool:
        return self.defines >= PROBLEM_NAMES


def scenes() -> dict[str, Leaf]:
    """Every scene by name."""
    return {leaf.name: leaf for leaf in leaves() if leaf.is_scene}


def problems() -> dict[str, Leaf]:
    """Every training problem by name; `train_x.py` is called x."""
    return {leaf.name.removeprefix("train_"): leaf for leaf in leaves() if leaf.is_problem}


def find_scene(name: str) -> SceneSpec:
    """The scene called `name`, or the one in the file of that path: Python, or the JSON that `Scene.save` wrote.

    Errors: `InputError` for an unknown name, with the nearest one.
    """
    if name.lower().endswith(".json"):
        return saved_scene(name)
    leaf = choose(name, scenes(), kind="scene", required=SCENE_NAMES)
    module = load(leaf)
    values, run = (getattr(module, name, None) for name in ("values", "run"))
    variants = getattr(module, "VARIANTS", ())
    return SceneSpec(leaf.name, leaf.description, module.SETTINGS, module.build, module.measure, values, run, variants)


def saved_scene(path: str) -> SceneSpec:
    """The scene that `Scene.save` wrote, run for a second in substeps of half the length that is stable, 60 frames a second."""
    from pliant.sim.scene import Scene

    scene = Scene.load(path)
    dt = 0.5 * min(scene.stable_dt(), 2e-3)
    settings = Settings(dt=dt, steps=math.ceil(1.0 / dt), record_every=max(1, round(1.0 / (60.0 * dt))))
    file = pathlib.Path(path)
    return SceneSpec(file.stem, f"the scene saved in {file.name}", settings, scene.copy, heights)


def heights(trajectory: "Trajectory") -> dict[str, float]:
    """Mean height of every body at the end."""
    import numpy as np

    names = [name for name in trajectory if name.endswith(".position")]
    return {
        f"mean height of {name[:-9]} [m]": float(np.mean(np.asarray(trajectory[name])[-1, ..., 2])) for name in names
    }


def find_problem(name: str) -> ProblemSpec:
    """The training problem called `name`, or the one in the Python file of that path.

    Errors: `InputError` for an unknown name, with the nearest one.
    """
    leaf = choose(name, problems(), kind="training problem", required=PROBLEM_NAMES)
    module = load(leaf)
    return ProblemSpec(leaf.name.removeprefix("train_"), leaf.description, module.Arguments, module.train)


def choose(name: str, known: Mapping[str, Leaf], *, kind: str, required: frozenset[str]) -> Leaf:
    """The leaf called `name` among `known`, or the file at that path."""
    from pliant.sim.errors import InputError

    if name.endswith(".py"):
        return read_file(pathlib.Path(name), kind=kind, required=required)
    leaf = known.get(name.replace("-", "_"))
    if leaf is not None:
        return leaf
    near = difflib.get_close_matches(name, known, n=1)
    choices = f"choose one of {', '.join(known)}" if known else "none exists yet"
    hint = f"did you mean '{near[0]}'?" if near else f"{choices}, or give a .py file."
    raise InputError(f"{kind}: expected a known name, got '{name}'; {hint}")


def read_file(path: pathlib.Path, *, kind: str, required: frozenset[str]) -> Leaf:
    """The leaf in a file of the user."""
    from pliant.sim.errors import InputError

    if not path.is_file():
        raise InputError(f"{kind}: expected a Python file, got '{path}', which does not exist; check the path.")
    try:
        leaf = read_leaf(path)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:  # the parser's, or of its bytes
        raise InputError(f"{kind}: {path} is not valid Python: {error}; correct the file.") from error
    missing = sorted(required - leaf.defines)
    if missing:
        raise InputError(f"{kind}: {path} defines no {', '.join(missing)}; see scenes/registry.py for what it needs.")
    return leaf


@functools.cache
def leaves() -> tuple[Leaf, ...]:
    """The files of this folder, in the order of their names."""
    return tuple(read_leaf(path) for path in sorted(FOLDER.glob("*.py")))


def read_leaf(path: pathlib.Path) -> Leaf:
    """What the syntax tree of a file says."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    description = (ast.get_docstring(tree) or "").partition("\n")[0].rstrip(".")
    return Leaf(path.stem, path, description, frozenset(name for node in tree.body for name in bound_names(node)))


def bound_names(statement: ast.stmt) -> list[str]:
    """The names a top-level statement binds by definition, assignment or import."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.ImportFrom(names=aliases):
            return [alias.asname or alias.name for alias in aliases]
    return []


def load(leaf: Leaf) -> types.ModuleType:
    """The imported module of a leaf."""
    if leaf.path.parent == FOLDER:
        return importlib.import_module(f"pliant.scenes.{leaf.name}")
    loader = importlib.machinery.SourceFileLoader(leaf.name, str(leaf.path))
    module = types.ModuleType(leaf.name)
    module.__file__ = str(leaf.path)
    sys.modules[leaf.name] = module  # dataclasses look their module up there
    loader.exec_module(module)
    return module
