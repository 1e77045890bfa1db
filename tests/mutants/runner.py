# SPDX-License-Identifier: MIT
"""Runs the tests that concern a mutant, on a private copy of the project that holds it."""
from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

from tests.lab import topology
from tests.lab.namespaces import Host, Lab
from tests.mutants.operators import Mutant

NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".pytest_cache", ".hypothesis")
#: Seconds after which a test run counts as hung, and kilobytes of memory that it may take: a mutant may loop.
HUNG, MEMORY = 300, 4_000_000
#: pytest's exit statuses: passed, failed, and where a file could not be imported, or ended pytest meanwhile.
PASSED, FAILED, NOT_IMPORTED, ENDED = 0, 1, 2, 3


class RunnerError(RuntimeError):
    """The tests say nothing of the mutants: they fail without one, or did not run."""


@dataclass
class Result:
    """What became of the mutants."""

    refused: list[Mutant] = field(default_factory=list)
    caught: list[Mutant] = field(default_factory=list)
    survived: list[Mutant] = field(default_factory=list)


class Copies:
    """Private copies of a project, one for each of so many workers; use it as a context manager."""

    def __init__(self, root: Path, workers: int):
        self.root = root
        self.workers = workers
        self._times = itertools.count(1)

    def __enter__(self) -> Copies:
        self._folder = tempfile.TemporaryDirectory(prefix="mutants-")
        self._free: Queue[Path] = Queue()
        for number in range(self.workers):
            copy = Path(self._folder.name, str(number))
            shutil.copytree(self.root, copy, ignore=NOT_COPIED, symlinks=True)
            self._free.put(copy)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @contextmanager
    def holding(self, mutant: Mutant | None) -> Iterator[Path]:
        """A copy that has this mutant, and nothing else that differs from the project."""
        copy = self._free.get()
        try:
            if mutant is None:
                yield copy
                return
            path = copy / "examples" / mutant.file
            original = path.read_bytes()
            path.write_text(mutant.text, encoding="utf-8")
            # Python keeps compiled modules, and knows the time of a source by the second.
            os.utime(path, (next(self._times),) * 2)
            try:
                yield copy
            finally:
                path.write_bytes(original)
        finally:
            self._free.put(copy)


def pytest_status(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Run pytest in a copy until the first failure; its exit status and what it said. Hung is FAILED."""
    environment = os.environ | {"CI": "true", "PYTHONDONTWRITEBYTECODE": ""}
    limited = ["sh", "-c", f'ulimit -v {MEMORY}; exec "$@"', "sh"]
    process = subprocess.Popen(
        [*limited, sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    try:
        said, _ = process.communicate(timeout=HUNG)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        process.kill()  # the lab ends with it
        process.communicate()
        return FAILED, "hung"


def refuses(host: Host, mutant: Mutant) -> bool:
    """Whether the program that reads a file refuses it as a whole: no test need look at that."""
    host.run("nft", "flush", "ruleset")
    command = READERS["." + mutant.file.rpartition(".")[2]]
    return host.run(*command, input=mutant.text, check=False).returncode != 0


#: What reads a file from standard input and refuses one that is not valid, by its ending.
READERS = {".nft": ["nft", "-f", "-"], ".v4": ["iptables-restore"], ".v6": ["ip6tables-restore"], ".sh": ["sh", "-n"]}
#: A lab of one host, to see what the programs refuse.
ALONE = topology.parse("""
title = "One host"
[networks.none]
title = "none"
prefixes = ["192.0.2.0/24"]
[hosts.host]
role = "router"
interfaces = {}
""", "alone")


def run(root: Path, mutants: Iterable[Mutant], tests_of: Callable[[str], list[str]], workers: int,
        progress: Callable[[str], None]) -> Result:
    """See for each mutant of the project below ``root`` whether the tests of its file catch it.

    ``progress`` gets a line for each. Raises RunnerError where the tests fail without a mutant.
    """
    result = Result()
    mutants = list(mutants)
    if readable := [mutant for mutant in mutants if mutant.file.endswith(tuple(READERS))]:
        with Lab(ALONE) as lab:
            result.refused = [mutant for mutant in readable if refuses(lab["host"], mutant)]
    refused = set(result.refused)
    left = [mutant for mutant in mutants if mutant not in refused]
    with Copies(root, workers) as copies, ThreadPoolExecutor(workers) as pool:
        def status(mutant: Mutant | None, file: str) -> tuple[int, str]:
            with copies.holding(mutant) as copy:
                return pytest_status(copy, tests_of(file))

        try:
            files = {" ".join(tests_of(mutant.file)): mutant.file for mutant in left}
            for file, (code, said) in zip(files.values(), pool.map(lambda file: status(None, file), files.values())):
                if code != PASSED:
                    raise RunnerError(f"without a mutant the tests of {file} do not pass:\n{said}")
            started = time.monotonic()
            running = {pool.submit(status, mutant, mutant.file): mutant for mutant in left}
            for number, future in enumerate(as_completed(running), 1):
                mutant, (code, said) = running[future], future.result()
                if code not in (PASSED, FAILED, NOT_IMPORTED, ENDED):
                    raise RunnerError(f"{mutant}: pytest ended with status {code}:\n{said}")
                (result.survived if code == PASSED else result.caught).append(mutant)
                progress(f"{number} of {len(left)} mutants, {time.monotonic() - started:.0f} s: "
                         f"{'survives' if code == PASSED else 'caught'}: {mutant}")
        finally:
            pool.shutdown(cancel_futures=True)  # where something went wrong, or somebody pressed Ctrl-C
    return result
