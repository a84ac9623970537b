"""One self-contained web page that plays pictures offline: what fields have in place of a window."""

import base64
import html
import json
import re
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from pliant.sim.atomic import write_atomically
from pliant.sim.errors import InputError
from pliant.sim.view.pictures import encode_png


def write_page(stage: Any, path: Path) -> None:
    """Write the page of all frames."""
    write_atomically(path, page(stage).encode())


def page(stage: Any) -> str:
    """The page as text."""
    draw = stage.painter(stage.options.size)
    frames = [base64.b64encode(encode_png(draw(frame))).decode() for frame in range(stage.frame_count)]
    values = {"TITLE": html.escape(stage.name), "FRAMES": json.dumps(frames), "FPS": str(stage.options.fps)}
    template = (Path(__file__).parent / "film.html").read_text(encoding="utf-8")
    return re.sub(r"{{([A-Z_]+)}}", lambda found: values[found[1]], template)


def show_page(stage: Any) -> None:
    """Open the page in a browser; `InputError` where there is none."""
    path = Path(tempfile.mkdtemp(prefix="pliant-")) / "fields.html"
    write_page(stage, path)
    if not webbrowser.open(path.as_uri()):
        raise InputError(f"view: found no browser for {path}; give an output such as 'fields.mp4' instead.")


def show_page_in_notebook(stage: Any) -> None:
    """Show the page in the cell of a notebook."""
    from IPython.display import HTML, display

    source = html.escape(page(stage), quote=True)
    display(HTML(f'<iframe srcdoc="{source}" width="100%" height="540" style="border:0"></iframe>'))
