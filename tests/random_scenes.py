"""Random scenes as plain descriptions: sensible ones, and a list of what may be wrong with each part of them."""

import math
import pathlib
from typing import Any

import numpy as np
import trimesh
from hypothesis import strategies as st

from pliant.sim import Scene, materials, shapes
from pliant.sim.mpm.state import FIELDS

ASSETS = pathlib.Path(__file__).resolve().parent.parent / "assets"
NAN, INF = math.nan, math.inf
ABSURD = (
    0.0, -1.0, NAN, INF, -INF, 1e30, 1e-30, 1e300, 10**400, "much", None, True, 1j, [], [1.0, 2.0], np.zeros((2, 2)),
    list(range(1000)), [[1.0], [1.0, 2.0]], {"value": 1.0}, b"1",
)  # fmt: skip
LONGEST_STEP = 2e-3  # s, of a sensible substep: at 20 m/s still well below a cell

LAWS = {
    "NeoHookean": lambda E, nu, extra: materials.NeoHookean(youngs_modulus=E, poissons_ratio=nu),
    "FixedCorotated": lambda E, nu, extra: materials.FixedCorotated(youngs_modulus=E, poissons_ratio=nu),
    "VonMises": lambda E, nu, extra: materials.VonMises(youngs_modulus=E, poissons_ratio=nu, yield_stress=1e4 * extra),
    "DruckerPrager": lambda E, nu, extra: materials.DruckerPrager(
        youngs_modulus=E, poissons_ratio=nu, friction_angle=extra, cohesion=10 * extra
    ),
    "Fluid": lambda E, nu, extra: materials.Fluid(bulk_modulus=E, viscosity=extra),
}

# Meshes of about a metre, which a body or a collider scales to its size.
GOOD_MESHES = ("worm.stl", "duck_like.obj", "ball.ply", "tetrahedron.stl")
BAD_MESHES = (
    "holed.stl", "flat.obj", "empty.stl", "truncated.stl", "truncated.ply", "letter.obj", "nan.ply", "inside_out.ply",
    "two_balls_one_open.ply", "faceless.ply", "image.png", "missing.stl",
)  # fmt: skip


def write_meshes(folder: pathlib.Path) -> None:
    """Every mesh file the descriptions name, good and damaged (one is missing on purpose)."""
    for name in ("worm.stl", "duck_like.obj"):
        mesh: Any = trimesh.load_mesh(ASSETS / name)
        mesh.apply_scale(1.0 / mesh.extents.max())
        mesh.export(folder / name)
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.5)
    ball.export(folder / "ball.ply")
    tetrahedron = trimesh.convex.convex_hull(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]))
    tetrahedron.export(folder / "tetrahedron.stl")
    worm = (folder / "worm.stl").read_bytes()
    trimesh.Trimesh(ball.vertices, ball.faces[3:], process=False).export(folder / "holed.stl")
    sheet = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])
    trimesh.Trimesh(sheet, [[0, 1, 2], [2, 1, 0]], process=False).export(folder / "flat.obj")
    (folder / "empty.stl").write_bytes(b"")
    (folder / "truncated.stl").write_bytes(worm[: len(worm) // 2])
    (folder / "truncated.ply").write_bytes((folder / "ball.ply").read_bytes()[:-20])
    (folder / "letter.obj").write_text("Dear reader, this is not a mesh.\n")
    trimesh.Trimesh(ball.vertices * [1, NAN, 1], ball.faces, process=False).export(folder / "nan.ply")
    trimesh.Trimesh(ball.vertices, ball.faces[:, ::-1], process=False).export(folder / "inside_out.ply")
    both = np.concatenate([ball.faces, ball.faces[1:] + len(ball.vertices)])
    moved = np.concatenate([ball.vertices, ball.vertices + 2.0])
    trimesh.Trimesh(moved, both, process=False).export(folder / "two_balls_one_open.ply")
    (folder / "faceless.ply").write_bytes(trimesh.PointCloud(ball.vertices).export(file_type="ply"))
    (folder / "image.png").write_bytes(b"\x89PNG")


def triple(low: float, high: float):
    return st.tuples(*[st.floats(low, high)] * 3)


whole_bodies = {
    "shape": st.sampled_from(["Box", "Sphere", "Capsule", "Cylinder", "Mesh", "Points"]),
    "mesh": st.sampled_from(GOOD_MESHES),
    "size": st.floats(0.12, 0.3),
    "center": triple(0.3, 0.7),
    "rotation": st.sampled_from([(0, 0, 0, 1), (0.5, 0.5, 0.5, 0.5), (0.1, -0.7, 0.2, 0.6)]),
}
bodies = st.fixed_dictionaries(
    {
        **whole_bodies,
        "spacing": st.floats(0.04, 0.08),
        "law": st.sampled_from(sorted(LAWS)),
        "stiffness": st.floats(1e2, 1e6),
        "poissons_ratio": st.floats(-0.3, 0.45),
        "extra": st.floats(0.01, 1.0),
        "density": st.floats(100.0, 1e4),
        "varied": st.sampled_from(["", "", "density", "stiffness"]),  # per-particle values
        "velocity": triple(-10.0, 10.0),
        "angular_velocity": triple(-10.0, 10.0),
        "muscle": st.sampled_from(["", "", "one", "halves", "each"]),
        "fibre": st.sampled_from([(1, 0, 0), (0.3, -1, 2), lambda x: x - 2.0]),
        "strength": st.floats(0.0, 1e4),
    }
)
colliders = st.fixed_dictionaries(
    {
        **whole_bodies,
        "shape": st.sampled_from(["Box", "Sphere", "Capsule", "Cylinder", "Mesh", "Plane"]),
        "mesh": st.sampled_from(
            ("worm.stl", "ball.ply", "tetrahedron.stl")
        ),  # whose distance volumes are quick to make
        "center": triple(0.0, 1.0),
        "friction": st.floats(0.0, 2.0),
        "surface": st.sampled_from(["separating", "slip", "stick"]),
        "motion": st.sampled_from(["", "placed", "moving", "shaken"]),
    }
)
WALLS = ("separating", "slip", "stick", "open")
descriptions = st.fixed_dictionaries(
    {
        "scene": st.fixed_dictionaries(
            {
                "gravity": triple(-10.0, 10.0),
                "extent": st.sampled_from([((0, 0, 0), (1, 1, 1)), ((-0.1, 0, 0), (1.2, 1, 1.5)), None]),
                "cell_size": st.sampled_from([0.1, 0.14, None]),
                "walls": st.one_of(st.sampled_from(WALLS), st.fixed_dictionaries({"z-": st.sampled_from(WALLS)})),
                "mass_floor": st.sampled_from([0.0, 1e-7]),
            }
        ),
        "bodies": st.lists(bodies, min_size=1, max_size=3),
        "colliders": st.lists(colliders, max_size=2),
        "build": st.fixed_dictionaries(
            {
                "batch": st.integers(1, 3),
                "threads": st.sampled_from([None, 1, 2]),
                "dtype": st.sampled_from(["float32", "float64"]),
                "seed": st.integers(0, 3),
            }
        ),
        "share": st.floats(0.01, 1.05),  # dt as a part of the elastic limit
        "rollout": st.fixed_dictionaries(
            {
                "steps": st.integers(1, 25),
                "record_every": st.sampled_from([None, 1, 5, 1000]),
                "record": st.lists(st.sampled_from(FIELDS), unique=True).map(tuple),
                "control_every": st.sampled_from([None, 1, 4, 7, 1000]),
                "checkpoint_every": st.sampled_from(["auto", 1, 3, 1000]),
                "memory": st.sampled_from(["1GB", "2 MB", 1e8]),
            }
        ),
        "controls": st.sampled_from(["full", "intervals", "groups", "one"]),
        "overrides": st.lists(st.integers(0, 40), max_size=3),  # which parameters are given, by their number
        "seed": st.integers(0, 2**16),
    }
)


def _wrong(value: Any) -> list:
    """Arrays that cannot stand for the value: what is not a number, of another kind, or of another shape."""
    full = np.asarray(value, float)
    one_bad = [full.copy() for _ in range(2)]
    for array, bad in zip(one_bad, (NAN, INF), strict=True):
        array.reshape(-1)[-1:] = bad
    noise = np.random.default_rng(full.size).normal(size=full.shape)
    with np.errstate(over="ignore", invalid="ignore"):  # of half precision and whole numbers
        return [
            *one_bad, NAN, -full, 0.0 * full, 1e3 * full, 1e6 * full, 1e30 * full, 1e300 * full, 1e-30 * full,
            full + 1e6, full - 5.0, full + 0.1 * noise, full + noise, noise, full[..., None], full[..., :-1], full[:0],
            np.zeros(0), full.astype(complex), full.astype(bool), full.astype(object), full.astype(np.float16),
            np.rint(full).astype(int), "much", None, {"a": 1}, [[1], [1, 2]],
        ]  # fmt: skip


WRONG_VALUES = len(_wrong(np.ones((1, 1))))
PARTS: dict[str, dict[str, tuple]] = {
    "scene": {
        "gravity": ((0, 0), (0, 0, 10**400), (0, 0, NAN), (1e30, 0, 0), "down"),
        "extent": (
            ((0, 0, 0), (0, 1, 1)),
            ((0.4,) * 3, (0.6,) * 3),
            ((0,) * 3, (1e9,) * 3),
            ((-1e4,) * 3, (1e4,) * 3),
            3,
        ),
        "cell_size": (*ABSURD, 10.0, 1e-3),
        "walls": ("glue", None, {"floor": "slip"}, {"z-": None}, 1),
        "mass_floor": (*ABSURD, 1e9),
    },
    "body": {
        "mesh": BAD_MESHES,
        "size": (*ABSURD, 5.0),
        "center": ((0.5, 0.5, 9.0), (NAN, 0, 0), (1e30, 0, 0), (0, 0), "here"),
        "rotation": ((0, 0, 0, 0), (NAN, 0, 0, 1), (1, 0, 0), (1e200, 0, 0, 0)),
        "spacing": (*ABSURD, 3.0, 1e-3),
        "law": ("Jelly",),
        "stiffness": (*ABSURD, 1e12, np.ones(3)),
        "poissons_ratio": (*ABSURD, 0.5, 0.4999999999, -1.0, -0.999999),
        "extra": (*ABSURD, 1.57, 100.0),
        "density": (*ABSURD, 1e-20, 1e20, np.ones(3), np.zeros(0)),
        "velocity": ((0, 0), (0, 0, 10**400), (NAN, 0, 0), (1e4, 0, 0), (1e30, 0, 0), (1e300, 0, 0)),
        "angular_velocity": ((NAN, 0, 0), (1e4, 0, 0), (1e30, 0, 0), (1e300, 1e300, 0)),
        "muscle": ("none", "float", "many", "short", "text", "nan"),
        "fibre": (
            (0, 0, 0),
            (NAN, 0, 0),
            (1e-300, 0, 0),
            (1e300, 1e300, 0),
            (1, 0),
            "along",
            lambda x: x[:2],
            lambda x: None,
        ),
        "strength": (*ABSURD, 1e12),
    },
    "collider": {
        "shape": ("Points", "Blob"),
        "mesh": BAD_MESHES,
        "size": ABSURD,
        "center": ((NAN, 0, 0), (1e30, 0, 0), (1e5, 0, 0), (0, 0)),
        "rotation": ((0, 0, 0, 0), (NAN, 0, 0, 1), (1, 0, 0)),
        "friction": ABSURD,
        "surface": ("glue", None, ["slip"]),
        "motion": ("nan", "vanishing", "far", "beyond", "few", "flat", "unturned", "fast", "tiny quaternions", "text"),
    },
    "build": {
        "dt": ABSURD,
        "batch": (0, -1, 1.5, True, 10**9, "two"),
        "threads": (0, 3, 1.0, "two"),
        "dtype": ("float16", np.float32, None),
        "device": ("cuda", "cuda:7", "gpu", 3, None),
    },
    "rollout": {
        "steps": (0, -1, 1.5, True, 2**40, "ten", None),
        "record_every": (0, -1, 1.5, 2**40, "often"),
        "record_at": ((0,), (1,), (), (1.5,), (2**40,), (-1,), "all", 3, np.array([1])),
        "record": (("temperature",), "position", None, ("position", "position"), 3, [["position"]]),
        "control_every": (0, -1, 1.5, 2**40, "often"),
        "checkpoint_every": (0, -1, 1.5, 2**40, "often", None),
        "memory": ("much", -1, NAN, INF, "1 kB", 0, None),
        "gradient": (False, None),
    },
    "values": {"*": tuple(range(WRONG_VALUES))},
    "controls": {"*": tuple(range(WRONG_VALUES))},
    "adjoints": {"*": tuple(range(WRONG_VALUES))},
    "names": {"*": ("body9.density", "gravitiy", "", 3, None, "body0.pose", "body0")},
    "state": {"*": ("short", "nan", "huge", "inverted", "outside", "list")},
}
faults = st.sampled_from([(part, key) for part, keys in PARTS.items() for key in keys]).flatmap(
    lambda where: st.tuples(st.just(where), st.integers(0, len(PARTS[where[0]][where[1]]) - 1), st.integers(0, 40))
)
"""Faults ((part, key), number of the wrong entry, which of the bodies, colliders or values has it)."""

random_cases = st.tuples(
    descriptions, st.sampled_from([0, 0, 1, 1, 2]).flatmap(lambda n: st.lists(faults, min_size=n, max_size=n))
)
"""Pairs of a sensible description and what is wrong with it: nothing, one fault or two."""


def spoiled(description: dict, found: list) -> tuple[dict, dict]:
    """The description with its faults, and those faults that lie in values instead, by their part."""
    made = {key: dict(value) if isinstance(value, dict) else value for key, value in description.items()}
    made["bodies"], made["colliders"] = ([dict(e) for e in description[k]] for k in ("bodies", "colliders"))
    later = {}
    for (part, key), number, which in found:
        wrong = PARTS[part][key][number]
        if part in ("body", "collider"):
            entries = made["bodies" if part == "body" else "colliders"]
            if entries:
                entry = entries[which % len(entries)]
                entry[key] = wrong
                if key == "mesh":
                    entry["shape"] = "Mesh"
        elif key == "*":
            later[part] = (wrong, which)
        else:
            made[part][key] = wrong
    return made, later


def make_shape(entry: dict, folder: pathlib.Path) -> shapes.Shape:
    """The shape of a body or a collider."""
    size, place = entry["size"], {"center": entry["center"], "rotation": entry["rotation"]}
    kind = entry["shape"]
    if kind == "Mesh":
        return shapes.Mesh(folder / entry["mesh"], scale=size, **place)
    if kind == "Plane":
        return shapes.Plane((0.2, 0.1, 1.0), center=entry["center"])
    if kind == "Points":
        points = shapes.Sphere(0.1, center=entry["center"]).sample(0.05)
        return shapes.Points(points, volume=size * size * size if isinstance(size, float) else size)
    if kind == "Box":
        return shapes.Box(size, **place)
    if kind == "Sphere":
        return shapes.Sphere(size, **place)
    maker = {"Capsule": shapes.Capsule, "Cylinder": shapes.Cylinder}.get(kind)
    return maker(size, size, **place) if maker else kind


def make_scene(case: dict, folder: pathlib.Path) -> Scene:
    """The scene a description stands for; whatever is wrong with it shows here, or later."""
    scene = Scene(**case["scene"])
    for index, entry in enumerate(case["bodies"]):
        _add_body(scene, entry, f"body{index}", make_shape(entry, folder), case["seed"])
    for index, entry in enumerate(case["colliders"]):
        options = {"friction": entry["friction"], "surface": entry["surface"], "name": f"collider{index}"}
        scene.add_collider(make_shape(entry, folder), **options)
    return scene


def _add_body(scene: Scene, entry: dict, name: str, shape: shapes.Shape, seed: int) -> None:
    rng, values = np.random.default_rng(seed), dict(entry)
    if entry["varied"] and isinstance(entry[entry["varied"]], float):
        count = len(shape.sample(entry["spacing"]))
        values[entry["varied"]] = entry[entry["varied"]] * rng.uniform(0.5, 1.0, count)
    law: Any = "jelly"
    if entry["law"] in LAWS:
        law = LAWS[entry["law"]](values["stiffness"], entry["poissons_ratio"], _times_one(entry["extra"]))
    options = {key: values[key] for key in ("density", "spacing", "velocity", "angular_velocity")}
    scene.add_mpm(shape, law, name=name, **options)
    if entry["muscle"]:
        scene.add_muscle(name, fibre=entry["fibre"], group=_group(entry["muscle"]), strength=entry["strength"])


def _times_one(value: Any) -> Any:
    """A number as it is; what `1e4 *` would not survive as NaN, so that the law and not the test meets it."""
    return value if isinstance(value, float) else NAN


def _group(kind: str) -> Any:
    groups: dict[str, Any] = {
        "one": 0, "halves": lambda x: (x[:, 0] > x[:, 0].mean()).astype(int) - 1 + (len(x) == 1),
        "each": lambda x: np.arange(len(x)), "none": -1, "float": 0.5, "many": 10**6, "text": "left", "nan": NAN,
        "short": lambda x: np.zeros(len(x) + 1, int),
    }  # fmt: skip
    return groups[kind]


def time_step(scene: Scene, case: dict) -> Any:
    """The drawn share of the elastic limit, at most 2 ms; whatever is wrong with it instead."""
    if "dt" in case["build"]:
        return case["build"]["dt"]
    cell = scene.cell_size or 2.0 * min(entry["spacing"] for entry in scene.bodies)
    lightest = [float(np.min(entry["density"], initial=1e4)) for entry in scene.bodies]
    speeds = [entry["material"].wave_speed(density) for entry, density in zip(scene.bodies, lightest, strict=True)]
    return case["share"] * min(LONGEST_STEP, 0.9 * cell / max([*speeds, 1e-9]))


def make_values(model: Any, rollout: Any, case: dict, later: dict) -> dict:
    """Parameter values for a forward run: controls in one of the accepted shapes, poses, overrides, and faults."""
    rng, parameters, values = np.random.default_rng(case["seed"]), model.parameters(), {}
    for name, parameter in parameters.items():
        if name.endswith(".activation"):
            table = rng.uniform(0, 1, (model.batch, rollout.intervals, parameter.shape[-1]))
            shaped = {"full": table, "intervals": table[0], "groups": table[0, 0], "one": table[:, :1]}
            values[name] = shaped[case["controls"]]
    for index, entry in enumerate(case["colliders"]):
        if entry["motion"]:
            rest = parameters[f"collider{index}.pose"].value[:1, :1].astype(float)
            values[f"collider{index}.pose"] = _poses(entry["motion"], rest, rollout.intervals + 1, model.batch, rng)
    names = list(parameters)
    for number in case["overrides"]:
        name = names[number % len(names)]
        values.setdefault(name, parameters[name].value * rng.uniform(0.95, 1.05))
    for part in ("values", "controls"):
        if part in later:
            number, which = later[part]
            choice = [n for n in names if part == "values" or parameters[n].timed] or names
            name = choice[which % len(choice)]
            values[name] = _wrong(values.get(name, parameters[name].value))[number]
    if "names" in later:
        values[later["names"][0]] = 1.0
    return values


def _poses(motion: str, rest: np.ndarray, knots: int, batch: int, rng: np.random.Generator) -> Any:
    """Poses [batch, knots, 7] that start near the collider's own; absurd ones by the names of what is wrong."""
    walk = np.cumsum(rng.normal(0.0, 0.01, (batch, knots, 7)), axis=1)
    if motion == "shaken":
        walk[..., 3:] = rng.normal(0.0, 1.0, (batch, knots, 4))
    poses = rest + walk
    wrong = {
        "placed": rest[0, 0], "moving": poses, "shaken": poses, "nan": poses * NAN, "vanishing": poses * 0.0,
        "far": poses + [1e6, 0, 0, 0, 0, 0, 0], "beyond": poses * 1e30, "few": poses[:, : knots - 1, :],
        "flat": poses[..., :6], "unturned": poses * [1, 1, 1, 0, 0, 0, 0], "text": "there",
        "fast": poses + 1e4 * np.arange(knots)[:, None] * [1, 0, 0, 0, 0, 0, 0],
        "tiny quaternions": poses * [1, 1, 1, 1e-2, 1e-2, 1e-2, 1e-2],
    }  # fmt: skip
    return wrong[motion]


def make_state(state: Any, kind: str) -> Any:
    """A start state with something wrong."""
    if kind == "list":
        return list(state.arrays().values())
    changes = {
        "short": {"position": state.position[:-1]}, "nan": {"velocity": state.velocity * NAN},
        "huge": {"velocity": state.velocity + 1e20}, "outside": {"position": state.position + 50.0},
        "inverted": {"deformation_gradient": -state.deformation_gradient},
    }  # fmt: skip
    return type(state)(**{**state.arrays(), **changes[kind]})


def make_adjoints(trajectory: Any, later: dict, seed: int) -> dict:
    """Random adjoints of everything that has one, and a fault."""
    rng = np.random.default_rng(seed)
    seeds = {n: rng.normal(size=a.shape) for n, a in trajectory.items() if not n.endswith(".pose")}
    if "adjoints" in later and seeds:
        number, which = later["adjoints"]
        name = sorted(seeds)[which % len(seeds)]
        seeds[name] = _wrong(seeds[name])[number]
    return seeds
