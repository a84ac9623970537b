"""Warp without its chatter, so that a program's own lines and its one-sentence errors can be read."""

import functools
import os
import sys
import tempfile

import warp

from pliant.sim.errors import InputError

EXPECTED = "Could not find or load the NVIDIA CUDA driver"  # said on every machine without a GPU; `pliant doctor` tells


def hush() -> None:
    """Keep Warp's banner and its lines about loaded modules from being printed, unless its log level was chosen by the user."""
    if warp.config.log_level == warp.LOG_INFO:
        warp.config.log_level = warp.LOG_WARNING


@functools.cache
def start_warp() -> None:
    """Initialise Warp, passing on only what its native code says beyond the absence of a GPU."""
    hush()
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile(mode="w+b") as heard:
        os.dup2(heard.fileno(), 2)
        try:
            warp.init()
        except OSError as error:
            raise InputError(
                f"kernel cache: {error.filename or warp.config.kernel_cache_dir} cannot be written ({error.strerror or error}); set "
                "WARP_CACHE_PATH to a folder that can be."
            ) from None
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        heard.seek(0)
        for line in heard.read().decode(errors="replace").splitlines():
            if EXPECTED not in line:
                sys.stderr.write(line + "\n")
