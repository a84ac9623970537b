"""Files of a user, looked at before they are read: what never ends, or claims more than the memory, is refused."""

import os
import stat
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from pliant.sim.errors import InputError
from pliant.sim.memory import host_memory

SHARE = 0.5  # of the memory that the content of one file may take


def read_bytes(path: str | os.PathLike, what: str) -> bytes:
    """The content of a file; `what` begins the sentence of an error.

    Errors: `InputError` for a path that is missing, unreadable, no plain file (a folder, a device, a pipe) or too large.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a device or a pipe"
            raise InputError(f"{what}: cannot read {Path(path).absolute()} (it is {kind}); give a plain file.")
        check_size(path, found.st_size, what)
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{what}: cannot read {Path(os.fspath(path)).absolute()} ({reason}); check the path."
        ) from None


def check_size(path: str | os.PathLike, size: float, what: str) -> None:
    """Raise `InputError` where so many bytes would take more than their share of the memory."""
    limit = SHARE * host_memory()
    if size > limit:
        raise InputError(
            f"{what}: {path} holds {size / 1e9:.3g} GB, expected at most {limit / 1e9:.3g} GB on this machine; thin it out."
        )


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name, once their sizes have been compared with those of the file.

    Errors: `zipfile.BadZipFile`, `ValueError` and whatever else NumPy raises for a damaged file; `InputError` for one that
        would not fit the memory.
    """
    if not path.is_file():
        raise ValueError("it is no plain file")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_size(path, sum(member.file_size for member in members), "file")
        for member in members:
            with archive.open(member) as file:
                _check_header(file, member)
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _check_header(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Raise `ValueError` for a member that is no array of numbers, or claims more of them than it has bytes."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    claimed = dtype.itemsize
    for count in shape:
        claimed *= count
    if dtype.hasobject or claimed > member.file_size:
        raise ValueError(f"{member.filename} claims {claimed:.3g} bytes of {dtype} in {member.file_size}")
