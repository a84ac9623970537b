"""What a result was measured on: machine, commit and versions."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.worker import ROOT, exponax_version, peer_versions, torch_cfd_version, torchopt_version

PACKAGES = ("warp-lang", "torch", "numpy", "scipy")


def processor() -> str:
    """Name of the CPU model."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_gigabytes() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def git(*arguments: str) -> str:
    """Output of a git command in this checkout, empty outside one."""
    try:
        run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return run.stdout.strip()


def versions() -> dict[str, str | None]:
    """Versions of Python and the packages compared; None for what is absent."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    peer = peer_versions()
    others = {"exponax": exponax_version, "torch-cfd": torch_cfd_version, "torchopt": torchopt_version}
    peers = {"taichi": peer.get("taichi"), "taichi_python": peer.get("python")}
    peers |= {name: version() or None for name, version in others.items()}
    return found | peers


def describe() -> dict[str, Any]:
    """Everything needed to judge whether two results can be compared."""
    return {
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "memory_gb": memory_gigabytes(),
            "os": platform.platform(),
            "load_before": os.getloadavg(),
        },
        "commit": git("rev-parse", "HEAD") or None,
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")),
        "versions": versions(),
    }
