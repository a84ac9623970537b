"""Maps the rooms of the repository into the package `pliant`; everything else stands in `pyproject.toml`.

`sim/` is installed as `pliant.sim` and `assets/` (without its gallery) as `pliant.assets`, where the scenes look for it.
"""

from setuptools import find_packages, setup

ROOMS = ("sim", "learn", "scenes")
ASSETS = ("assets", "assets.laws", "assets.closures")

packages = ["pliant", *(f"pliant.{name}" for name in ASSETS)]
for room in ROOMS:
    packages += [f"pliant.{name}" for name in find_packages(include=[room, f"{room}.*"])]

setup(packages=packages, package_dir={"pliant": "pliant"} | {f"pliant.{room}": room for room in (*ROOMS, "assets")})
