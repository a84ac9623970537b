"""Writing a file so that a full disk or a kill in the middle leaves the old one whole."""

import os
from pathlib import Path

from pliant.sim.errors import InputError


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Write to a temporary file beside the target, flush it to the disk, then take the target's place.

    Errors: `InputError` when the folder is missing or the disk is full; the old file stays.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {target}: {error.strerror or error}; the old file, if any, is untouched."
        ) from error
