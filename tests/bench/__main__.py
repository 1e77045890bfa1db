# SPDX-License-Identifier: MIT
"""How long the builds, the converter and the start of a lab take, as ratios, which can be compared between machines.

Run by ``make bench``.
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench import start
from tests.bench.manual import manual

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 3


def seconds_of(command: list[str | Path], environment: dict[str, str] | None = None) -> float:
    """Seconds that a process takes; raises CalledProcessError when it fails, after what it said."""
    start = time.perf_counter()
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment)
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        raise
    return time.perf_counter() - start


def build(builder: str, folder: Path) -> float:
    """Seconds that one Sphinx process takes; raises CalledProcessError when the build fails."""
    command = [sys.executable, "-m", "sphinx", "-q", "-nW", "-c", ".", "-d", folder / "doctrees"]
    return seconds_of([*command, "-b", builder, "source", folder / builder])


def measure() -> dict[str, float]:
    """Median seconds of each kind of build."""
    seconds: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            for name, builder in [
                ("html, clean", "html"),
                ("html, nothing changed", "html"),
                ("man, after html", "man"),
                ("latex, after html", "latex"),
            ]:
                seconds.setdefault(name, []).append(build(builder, Path(folder)))
    return {name: median(values) for name, values in seconds.items()}


PARSE = """
import sys
from pylatexenc.latexwalker import LatexWalker
LatexWalker(open(sys.argv[1]).read()).get_latex_nodes()
"""


def with_compiled_modules(cache: Path) -> dict[str, str]:
    """An environment in which Python keeps its compiled modules, as it does for users; in ``cache``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environment | {"PYTHONPYCACHEPREFIX": str(cache)}


def converter() -> None:
    """Print what the converter takes beside the parser alone and beside pandoc, and how that grows with the text."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = with_compiled_modules(folder / "cache")

        def file(lines: int) -> Path:
            path = folder / f"{lines}.tex"
            path.write_text(manual(lines))
            return path

        def conversion(path: Path) -> list[str | Path]:
            return [sys.executable, "latex/tex2myst.py", path, folder / path.stem]

        for name, path in {"the chapter": ROOT / "latex" / "securing-xen.tex", "3,000 lines": file(3_000)}.items():
            others = {"parsing it with pylatexenc": [sys.executable, "-c", PARSE, path]}
            if shutil.which("pandoc"):
                others["pandoc"] = ["pandoc", "-f", "latex", "-t", "markdown", path]
            runs = [{what: seconds_of(command, environment)
                     for what, command in {"tex2myst": conversion(path), **others}.items()} for _ in range(5)]
            for what in others:
                ratio = median(run["tex2myst"] / run[what] for run in runs)
                print(f"{ratio:5.2f} of {what}: tex2myst of {name} ({median(run['tex2myst'] for run in runs):.2f} s)")
        small, middle, large = (
            median(seconds_of(conversion(path), environment) for _ in range(REPEATS))
            for path in map(file, (1_000, 10_000, 100_000))
        )
        print(f"{middle / small:5.2f} of 1,000 lines: tex2myst of 10,000 lines ({middle:.2f} s)")
        print(f"{large / middle:5.2f} of 10,000 lines: tex2myst of 100,000 lines ({large:.2f} s)")


def main() -> None:
    """Print one line for each build."""
    seconds = measure()
    clean = seconds["html, clean"]
    for name, value in seconds.items():
        print(f"{value / clean:5.2f} of a clean html build: {name} ({value:.2f} s)")
    converter()
    start.main()


if __name__ == "__main__":
    main()
