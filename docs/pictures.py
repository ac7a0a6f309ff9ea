"""Makes the README's pictures of the demo: `make demo`, then `python docs/pictures.py`.

The terminal's own output is drawn, so the picture shows what a user sees.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
COLUMNS = 124


def draw(arguments: list[str], picture: Path) -> None:
    """Runs a command and draws what it printed."""
    environment = os.environ | {"COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
    printed = subprocess.run(  # noqa: S603 - the commands below
        [Path(sys.executable).with_name(arguments[0]), *arguments[1:]],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(f"$ {' '.join(arguments)}\n{printed.rstrip()}"))
    svg = console.export_svg(title="ltsi")
    # A picture in a repository shall not load fonts from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    picture.write_text(svg, encoding="utf-8")


def main() -> None:
    """Draws the comparison and copies the latest decay curves."""
    draw(["ltsi", "compare", "outputs/demo"], DOCS / "compare.svg")
    latest = max(Path("outputs/decay_fit").rglob("decay.png"), key=lambda path: path.stat().st_mtime)
    shutil.copy(latest, DOCS / "decay.png")


if __name__ == "__main__":
    main()
