# SPDX-License-Identifier: MIT
"""How long the builds take, as ratios to a clean HTML build, which can be compared between machines.

Run by ``make bench``.
"""
from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 3


def build(builder: str, folder: Path) -> float:
    """Seconds that one Sphinx process takes; raises CalledProcessError when the build fails."""
    command = [sys.executable, "-m", "sphinx", "-q", "-nW", "-c", ".", "-d", folder / "doctrees"]
    start = time.perf_counter()
    subprocess.run([*command, "-b", builder, "source", folder / builder], cwd=ROOT, check=True)
    return time.perf_counter() - start


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


def main() -> None:
    """Print one line for each build."""
    seconds = measure()
    clean = seconds["html, clean"]
    for name, value in seconds.items():
        print(f"{value / clean:5.2f} of a clean html build: {name} ({value:.2f} s)")


if __name__ == "__main__":
    main()
