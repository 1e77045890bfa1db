# SPDX-License-Identifier: MIT
"""The frame of the project: its two commands, its lock file, its licences, and what the README promises."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import test_applying, test_hosts_as_they_are, test_together

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {name: (ROOT / name).read_text() for name in ["requirements.lock", "requirements-browser.lock"]}
README = (ROOT / "README.md").read_text()
NOT_OURS = {".git", ".venv", "build"}


def files() -> list[Path]:
    """Every file of the project, without what is built or fetched."""
    tops = [top for top in ROOT.iterdir() if top.name not in NOT_OURS]
    return [file for top in tops for file in [top, *top.rglob("*")] if file.is_file()]


def test_lock_file_has_what_pyproject_asks_for() -> None:
    """uv notes under each package which group asked for it, so no network is needed to compare the two."""
    locked: dict[str, tuple[str, set[str]]] = {}
    for entry in re.split(r"\n(?=\S)", "\n".join(LOCKS.values())):
        if pinned := re.match(r"([\w.-]+)==([\w.]+)", entry):
            groups = set(re.findall(r"\(pyproject\.toml:(\w+)\)", entry))
            version, others = locked.get(canonicalize_name(pinned[1]), (pinned[2], set()))
            assert version == pinned[2], f"{pinned[1]}: the lock files do not agree"
            locked[canonicalize_name(pinned[1])] = (version, groups | others)
    asked = {
        (canonicalize_name(requirement.name), group): requirement
        for group, lines in PROJECT["dependency-groups"].items()
        for requirement in map(Requirement, lines)
    }
    assert {(name, group) for name, (_, groups) in locked.items() for group in groups} == set(asked)
    for (name, _), requirement in asked.items():
        assert requirement.specifier.contains(locked[name][0]), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_lock_file_has_hashes_and_no_source_but_pypi(name: str) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCKS[name]) if "==" in entry]
    assert entries
    for entry in entries:
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"index|find-links|://|@ |file:", LOCKS[name])


def test_no_scenario_is_left_out_of_the_tests_that_take_each() -> None:
    scenarios = {file.parent.name for file in ROOT.glob("examples/*/topology.toml")} - {"domain-0"}
    for module in (test_together, test_hosts_as_they_are):
        assert set(module.SCENARIOS) == scenarios, module.__name__
    rules = {str(file.relative_to(ROOT / "examples").with_suffix("")) for file in ROOT.glob("examples/*/*.nft")}
    wireguard = {"untrusted-subnet/wireguard"}  # a tunnel comes with it: tests/test_wireguard.py
    assert {*test_applying.FIREWALLS, *test_applying.GUESTS} == rules - wireguard


def test_help_says_that_packages_get_installed_then_lists_the_tasks() -> None:
    lines = make(ROOT, "help").stdout.splitlines()
    assert "root" in lines[0] and "install" in lines[0]
    tasks = {line.split()[0] for line in lines[lines.index("") + 1:]}
    assert tasks >= {"html", "pdf", "man", "test", "mutants", "convert", "bench", "linkcheck", "live", "clean"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What `make html` needs, in a folder of its own, with the virtual environment that runs this test."""
    for name in ["conf.py", "install-packages.sh", "Makefile", "pyproject.toml", "requirements.lock"]:
        shutil.copy2(ROOT / name, tmp_path / name)
    for name in ["examples", "latex", "source", "tests"]:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / ".venv").mkdir()
    for name in ["bin", "lib", "pyvenv.cfg"]:
        (tmp_path / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (tmp_path / ".venv/requirements.lock.installed").touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make there, apart from a make that may have started the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MF"))}
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_second_make_does_no_work_twice(copy: Path) -> None:
    first = make(copy, "html", "man")
    assert first.returncode == 0, first.stderr
    assert not re.search("warning|error", first.stdout + first.stderr, re.IGNORECASE)
    before = times(copy)
    assert make(copy, "html", "man").returncode == 0
    assert times(copy) == before

    for changed in ["examples/domain-0/firewall.nft", "tests/lab/topology.py", "conf.py", "source/index.md"]:
        assert make(copy, "--question", "html", "man").returncode == 0
        os.utime(copy / changed)
        assert make(copy, "--question", "html").returncode == 1, changed
        assert make(copy, "--question", "man").returncode == 1, changed
        # As it was, since it would only be built again; the last one is.
        if changed != "source/index.md":
            os.utime(copy / changed, ns=(before[str(copy / changed)],) * 2)
    assert make(copy, "html", "man").returncode == 0
    assert make(copy, "--question", "html", "man").returncode == 0


def test_a_failed_build_fails_again(copy: Path) -> None:
    """Sphinx warns when it reads a page, and does not read it again: a second run must not pass for that."""
    for page in (copy / "source").rglob("*.md"):
        page.unlink()
    (copy / "source/index.md").write_text("# A page\n\n```{no-such-directive}\n```\n")
    for _ in range(2):
        run = make(copy, "html")
        assert run.returncode != 0
        assert "no-such-directive" in run.stderr


Installer = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    """install-packages.sh on a machine of stubs: nothing is installed, and the commands are written down."""
    log = tmp_path / "log"
    log.touch()

    def run(task: str, uid: int, apt: str = "true") -> tuple[subprocess.CompletedProcess[str], list[str]]:
        stubs = {
            "id": f"echo {uid}",
            "dpkg-query": "exit 1",
            "python3": "exit 1",
            "apt-get": f'echo "apt-get $*" >> {log}; {apt}',
            "install": f'echo "install $*" >> {log}',
        }
        for name, body in stubs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
            (tmp_path / name).chmod(0o755)
        environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        script = [ROOT / "install-packages.sh", task]
        done = subprocess.run(script, env=environment, capture_output=True, text=True)
        return done, log.read_text().splitlines()

    return run


@pytest.mark.parametrize(
    ("task", "package"), [("venv", "python3-venv"), ("pdf", "texlive-latex-extra"), ("test", "nftables")]
)
def test_without_root_one_line_says_what_is_left_out(installer: Installer, task: str, package: str) -> None:
    done, commands = installer(task, uid=1000)
    assert done.returncode == 1
    assert commands == []
    (line,) = done.stdout.splitlines()
    assert line.startswith("Left out: ")
    assert f" {package}" in line[line.index("sudo apt-get install "):]


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_packaged_sshd_is_kept_off_before_it_is_installed(installer: Installer, uid: int) -> None:
    done, commands = installer("test", uid)
    told = "\n".join(commands if uid == 0 else done.stdout.split("&&"))
    assert re.search(r"install .*/etc/ssh/sshd_not_to_be_run.*\n.*apt-get install .*openssh-server", told)
    assert "/etc/ssh/sshd_not_to_be_run" in done.stdout


def test_package_lists_are_fetched_only_when_installing_fails(installer: Installer) -> None:
    _, commands = installer("pdf", uid=0)
    assert [command.split()[1] for command in commands] == ["install"]


def test_failing_installation_shows_why_and_fails(installer: Installer) -> None:
    done, commands = installer("pdf", uid=0, apt="echo no such mirror; exit 100")
    assert [command.split()[1] for command in commands] == ["install", "update"]
    assert done.returncode == 1
    assert "no such mirror" in done.stdout


def test_shell_is_clean() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    shell = [file for file in files() if re.match(rb"#!.*\b(ba)?sh\b", file.read_bytes()[:80])]
    assert {ROOT / "install-packages.sh", ROOT / ".ci/run", ROOT / "examples/iptables.sh"} <= set(shell)
    done = subprocess.run(["shellcheck", *shell], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_words_are_spelled_right() -> None:
    done = subprocess.run([sys.executable, "-m", "codespell_lib", *files()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_pre_commit_runs_the_tools_of_the_tests() -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert {hook["id"] for hook in repo["hooks"]} == {"ruff", "codespell", "shellcheck"}
    for hook in repo["hooks"]:
        program = hook["entry"].split()
        assert program[0] == "shellcheck" or (ROOT / program[0]).exists(), program


def test_a_tag_builds_every_format() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    commands = [step.get("run", "") for step in workflow["jobs"]["release"]["steps"]]
    assert commands.index("sudo .ci/run") < commands.index("sudo make dist")
    assert "gh release create" in commands[-1] and "build/dist/*" in commands[-1]
    recipe = (ROOT / "Makefile").read_text().partition("\ndist:")[2].partition("\n\n")[0]
    for part in (" html pdf man epub ", "$(PDF)", "$(EPUB)", "examples.tar.gz", "build/*.json", "packed,html",
                 "packed,man", "SHA256SUMS"):
        assert part in recipe, part


def test_the_version_is_in_the_list_of_changes() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(PROJECT['project']['version'])}$", changes, re.MULTILINE)


def test_python_is_clean() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--output-format=concise"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text()) if "://" not in link]
    assert links or name == "SECURITY.md"
    for link in links:
        assert (ROOT / link).exists(), link


def test_licences_are_stated_with_their_full_texts() -> None:
    names = PROJECT["project"]["license"].split(" AND ")
    assert sorted(names) == sorted(file.stem for file in (ROOT / "LICENSES").iterdir())
    for name in names:
        assert f"LICENSES/{name}.txt" in README
    assert "CC BY 4.0" in (ROOT / "conf.py").read_text()


def test_ci_runs_the_commands_of_the_readme_as_root() -> None:
    commands = re.findall(r"^(make[ a-z]*?) +#", README, re.MULTILINE)
    assert commands == ["make", "make test"]
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert {*commands, "make test-browser"} <= set(lines)
    assert lines[-1] == "make test"
    assert "export CI=true" in lines
    workflow = yaml.safe_load((ROOT / ".github/workflows/guide.yml").read_text())
    assert {"run": "sudo .ci/run"} in workflow["jobs"]["test"]["steps"]
    assert workflow["jobs"]["publish"]["needs"] == "test"


def test_actions_are_pinned_by_hash() -> None:
    uses = [
        line
        for file in (ROOT / ".github/workflows").iterdir()
        for line in file.read_text().splitlines()
        if "uses:" in line
    ]
    assert uses
    for line in uses:
        assert re.search(r"uses: [\w/-]+@[0-9a-f]{40}  # v[\d.]+$", line), line
