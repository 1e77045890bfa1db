# SPDX-License-Identifier: MIT
"""How long the builds, the converter, the start of a lab and exposure.py take, as ratios, which can be compared
between machines.

Run by ``make bench``.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench import exposure, start
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


PLAIN = """
extensions = ["myst_parser", "sphinx_tabs.tabs"]
html_theme = "furo"
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_ambiguous"]
"""
"""The settings of a guide without extensions of its own."""


def without_our_words(page: str) -> str:
    """A page without the directives, roles, options and languages of our extensions."""
    page = re.sub(r"(?ms)^:::\{(topology|parameters|conversion-report|measured)\}.*?^:::$", "", page)
    page = re.sub(r"(?ms)^```\{(evidence|chapter-map)\}.*?^```$", "", page)
    page = re.sub(r"\{(?:run|tested|not-run)\}`([^`]*?)\s<[^<>`]*>`", r"`\1`", page)
    page = re.sub(r"\{examples-archive\}`([^`]*)`", r"\1", page)
    page = re.sub(r"(?m)^ *:(not-run|xen):.*\n", "", page)
    return re.sub(r"(?m)(:language: |\{code-block\} |`\{l=)(nft|iptables|sxp)\b", r"\1text", page)


def beside_plain() -> None:
    """Print what the site takes beside the same pages without our extensions and what they add."""
    def plain(folder: Path) -> float:
        shutil.copytree(ROOT / "examples", folder / "examples")
        shutil.copytree(ROOT / "source", folder / "source", ignore=shutil.ignore_patterns("_*"))
        for file in (folder / "source").rglob("*.md"):
            file.write_text(without_our_words(file.read_text(encoding="utf-8")), encoding="utf-8")
        (folder / "source/conf.py").write_text(PLAIN)
        return seconds_of([sys.executable, "-m", "sphinx", "-qnW", "-d", folder / "plain-doctrees", "-b", "html",
                           folder / "source", folder / "plain"])

    runs = []
    for _ in range(2 * REPEATS - 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append((build("html", Path(folder)), plain(Path(folder))))
    ratio, seconds = median(ours / other for ours, other in runs), median(ours for ours, _ in runs)
    print(f"{ratio:5.2f} of Sphinx, MyST, sphinx-tabs and the theme alone: html, clean ({seconds:.2f} s)")


PARSE = """
import sys
from pylatexenc.latexwalker import LatexWalker
LatexWalker(open(sys.argv[1]).read()).get_latex_nodes()
"""


def converter() -> None:
    """Print what the converter takes beside the parser alone and beside pandoc, and how that grows with the text.

    Beside the parser it is measured in two ways. The first run in a checkout has to
    compile the converter's modules, as has every one where Python is told to keep no
    compiled ones (the Makefile tells it so); later runs find them.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        # A copy, so that no compiled module is there before, and none is left beside the sources.
        shutil.copytree(ROOT / "latex", folder / "latex", ignore=shutil.ignore_patterns("__pycache__"))
        keeping = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        compiling = keeping | {"PYTHONDONTWRITEBYTECODE": "1"}

        def file(lines: int) -> Path:
            path = folder / f"{lines}.tex"
            path.write_text(manual(lines))
            return path

        def conversion(path: Path) -> list[str | Path]:
            return [sys.executable, folder / "latex" / "tex2myst.py", path, folder / path.stem]

        def compare(what: str, ours: list[str | Path], name: str, other: list[str | Path],
                    environment: dict[str, str]) -> None:
            runs = [(seconds_of(ours, environment), seconds_of(other, environment)) for _ in range(11)]
            ratio, seconds = median(ours / other for ours, other in runs), median(ours for ours, _ in runs)
            print(f"{ratio:5.2f} of {name}: tex2myst of {what} ({seconds:.2f} s)")

        texts = {"the chapter": ROOT / "latex" / "securing-xen.tex", "3,000 lines": file(3_000)}
        for when, environment in {"compiled anew": compiling, "kept compiled": keeping}.items():
            for what, path in texts.items():
                compare(f"{what}, its modules {when}", conversion(path), "parsing it with pylatexenc",
                        [sys.executable, "-c", PARSE, path], environment)
        if shutil.which("pandoc"):
            for what, path in texts.items():
                compare(what, conversion(path), "pandoc", ["pandoc", "-f", "latex", "-t", "markdown", path], keeping)
        small, middle, large = (
            median(seconds_of(conversion(path), keeping) for _ in range(REPEATS))
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
    beside_plain()
    converter()
    start.main()
    exposure.main()


if __name__ == "__main__":
    main()
