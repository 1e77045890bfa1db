# SPDX-License-Identifier: MIT
"""Runs the mutants of the examples named, or of all: ``python -m tests.mutants [FILE...]``.

A line on standard error for each mutant as it is done; on standard output the survivors without a reason and the
reasons without a survivor, then a summary. Exit status 1 where there is one of these.
"""
from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.mutants import concern, survivors
from tests.mutants.operators import KINDS, Mutant, mutants
from tests.mutants.runner import Result, RunnerError, run

ROOT = Path(__file__).resolve().parents[2]
#: Most of a test is waiting for an answer that does not come.
WORKERS = 2 * (os.cpu_count() or 1)


def examples(root: Path = ROOT) -> list[str]:
    """The names of the examples that have mutants, below ``examples/``."""
    folder = root / "examples"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in KINDS)
    return [name for name in names if concern.tests_of(name)]


def all_mutants(files: list[str], root: Path = ROOT) -> list[Mutant]:
    """Every mutant of these examples."""
    return [mutant for file in files
            for mutant in mutants(file, (root / "examples" / file).read_text(encoding="utf-8"))]


def report(result: Result, reasons: dict[Mutant, str], files: list[str]) -> tuple[list[str], bool]:
    """The lines that say what became of the mutants, and whether all is well."""
    unexplained = sorted((mutant for mutant in result.survived if mutant not in reasons),
                         key=lambda mutant: (mutant.file, mutant.line))
    explained = len(result.survived) - len(unexplained)
    stale = [mutant for mutant in reasons if mutant.file in files and mutant not in result.survived]
    lines = [str(mutant) for mutant in unexplained]
    lines += [f"survivors.toml: {mutant.file}: {mutant.operator}: - {mutant.old} + {mutant.new}: "
              f"{'is caught' if mutant in result.caught else 'is refused' if mutant in result.refused else 'is gone'}"
              for mutant in stale]
    lines.append(f"mutants: {len(result.caught)} caught, {explained} survive with a reason, "
                 f"{len(unexplained)} survive; {len(result.refused)} more are no valid files")
    return lines, not unexplained and not stale


def main(arguments: list[str]) -> int:
    """Run the mutants; returns the exit status."""
    files = [argument.removeprefix("examples/") for argument in arguments] or examples()
    if unknown := [file for file in files if file not in examples()]:
        print(f"no example of that name has mutants: {', '.join(unknown)}", file=sys.stderr)
        return 2
    try:
        result = run(ROOT, all_mutants(files), concern.tests_of, WORKERS,
                     lambda line: print(line, file=sys.stderr, flush=True))
    except RunnerError as error:
        print(error, file=sys.stderr)
        return 2
    lines, well = report(result, survivors.read(survivors.REASONS.read_text(encoding="utf-8")), files)
    print("\n".join(lines))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
