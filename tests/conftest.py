"""What every test shares: quiet kernels, one torch thread, the device and the reference folder."""

import importlib.util
import os
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """One torch thread (two collapse beside other load) and no compiler chatter."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)
    import warp

    warp.config.log_level = warp.LOG_WARNING


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where no CUDA device is present."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import warp

    if warp.get_cuda_device_count() == 0:
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; "cuda" is skipped where there is none."""
    return request.param


@pytest.fixture(scope="session")
def reference() -> pathlib.Path:
    """The folder of measured reference trajectories; the test skips where it is absent."""
    folder = pathlib.Path(os.environ.get("PLIANT_REFERENCE", REPOSITORY.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"no reference folder at {folder}; set PLIANT_REFERENCE")
    return folder
