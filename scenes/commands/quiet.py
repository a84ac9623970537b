"""Warp without its chatter, so that a command's own lines and its one-sentence errors can be read."""

import os
import sys
import tempfile

EXPECTED = "Could not find or load the NVIDIA CUDA driver"  # said on every machine without a GPU; `pliant doctor` tells


def start_warp() -> None:
    """Initialise Warp, passing on only what its native code says beyond the absence of a GPU."""
    import warp

    warp.config.log_level = warp.LOG_WARNING
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile(mode="w+b") as heard:
        os.dup2(heard.fileno(), 2)
        try:
            warp.init()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        heard.seek(0)
        for line in heard.read().decode(errors="replace").splitlines():
            if EXPECTED not in line:
                print(line, file=sys.stderr)
