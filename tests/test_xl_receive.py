# SPDX-License-Identifier: MIT
"""``domain-0/xl-receive.sh`` lets in what ``xl migrate`` sends, and nothing else. A program that tells how it was
called stands in for xl; on real nodes, tests/xen runs the real one."""
from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guide import ROOT

PROGRAM = ROOT / "examples/domain-0/xl-receive.sh"
#: What xl 4.17 to 4.22 can send: tools/xl/xl_migrate.c, main_migrate(), of RELEASE-4.17.0 and RELEASE-4.22.0.
FORMS = [f"xl{t}{timestamps}{v} migrate-receive{e}{d}{p}" for t, timestamps, v, e, d, p in itertools.product(
    ("", " -t"), ("", " -T"), ("", " -v", " -vv", " -vvv", " -vvvv"), ("", " -e"), ("", " -d"), ("", " -p"))]
REFUSED = {
    "a shell": "",
    "another program": "id",
    "another program named as a path": "/usr/sbin/xl migrate-receive",
    "another verb": "xl list",
    "no verb": "xl",
    "options alone": "xl -t",
    "a verb that begins like it": "xl migrate-receiver",
    "Remus": "xl migrate-receive -r -e",
    "Remus, as xl writes it": "xl migrate-receive -r  -e",
    "COLO": "xl migrate-receive --colo --coloft-script /etc/xen/scripts/colo-proxy-setup",
    "a script of COLO alone": "xl migrate-receive --coloft-script /bin/sh",
    "the order changed": "xl migrate-receive -d -e",
    "an option twice": "xl -t -t migrate-receive",
    "verbose twice": "xl -v -v migrate-receive",
    "an option of the verb in front": "xl -e migrate-receive",
    "force": "xl -f migrate-receive",
    "an argument": "xl migrate-receive guest",
    "a second command": "xl migrate-receive; id",
    "a second line": "xl migrate-receive\nid",
    "a first line": "id\nxl migrate-receive",
    "a newline at the end": "xl migrate-receive\n",
    "a return at the end": "xl migrate-receive\r",
    "a space at the end": "xl migrate-receive ",
    "a space in front": " xl migrate-receive",
    "two spaces": "xl  migrate-receive",
    "a tab": "xl\tmigrate-receive",
    "a substitution": "xl $(id) migrate-receive",
    "a pattern": "xl * migrate-receive",
    "in pieces": "xl -t -T -v migrate-receive -e -d -p -e",
    "the file transfer of ssh": "/usr/lib/openssh/sftp-server",
}


SAYS_NO = "xl-receive: this login receives a guest from xl migrate, and does nothing else\n"


def with_xl(path: str) -> str:
    """The example, where another program is its xl."""
    text = PROGRAM.read_text()
    assert text.count("\nxl=/usr/sbin/xl\n") == 1
    return text.replace("\nxl=/usr/sbin/xl\n", f"\nxl={path}\n")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, with another xl."""
    folder = tmp_path_factory.mktemp("xl-receive")
    (folder / "xl").write_text('#!/bin/sh\nprintf "ran"; for word in "$@"; do printf " <%s>" "$word"; done\ncat\n')
    (folder / "xl").chmod(0o755)
    (folder / "logger").write_text('#!/bin/sh\nprintf "%s\\n" "$*" >>"${0%/*}/log"\n')
    (folder / "logger").chmod(0o755)
    (folder / "xl-receive").write_text(with_xl(f"{folder}/xl"))
    return folder / "xl-receive"


def ask(program: Path, command: str | None, sent: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "SSH_CONNECTION": "192.168.1.1 40000 192.168.1.2 22"}
    if command is not None:
        environment["SSH_ORIGINAL_COMMAND"] = command
    return subprocess.run(["sh", program], env=environment, input=sent, capture_output=True, text=True)


def is_refused(program: Path, command: str | None) -> bool:
    """Nothing was run, and a line says why."""
    done = ask(program, command)
    return done.returncode == 1 and done.stdout == "" and done.stderr == SAYS_NO


def test_what_xl_sends_gets_in(program):
    """Every form, with its own options, and the stream goes through."""
    assert len(set(FORMS)) == 160
    for form in FORMS:
        done = ask(program, form, "the guest")
        assert done.returncode == 0, form
        assert done.stdout == "ran" + "".join(f" <{word}>" for word in form.split()[1:]) + "the guest", form


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(program, command):
    assert is_refused(program, command)


def test_a_login_without_a_command_is_refused(program):
    assert is_refused(program, None)


def test_a_refusal_is_logged_with_the_address_and_not_with_what_was_asked(program):
    """A stranger's words do not get into the log."""
    log = program.with_name("log")
    log.unlink(missing_ok=True)
    assert is_refused(program, "id\nforged: line")
    line, = log.read_text().splitlines()
    assert "192.168.1.1" in line and "forged" not in line


WORDS = st.sampled_from(["xl", "-t", "-T", "-v", "-vvvv", "-vvvvv", "migrate-receive", "-e", "-d", "-p", "-r", "--colo",
                         "list", "id", "*", "'", '"', ";", "&", "|", "$(id)", "`id`", "\\", ""])


@settings(deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=8).flatmap(lambda words: st.sampled_from([" ", "  ", "\n", "\t", ";"]).map(
    lambda between: between.join(words))), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_no_other_words_get_in(program, command):
    done = ask(program, command)
    assert (done.returncode == 0) == (command in FORMS)
    assert (done.stdout != "") == (command in FORMS)


def test_what_gets_in_is_logged_with_the_address(program):
    log = program.with_name("log")
    log.unlink(missing_ok=True)
    assert ask(program, "xl migrate-receive").returncode == 0
    line, = log.read_text().splitlines()
    assert "auth.info" in line and "192.168.1.1" in line


def test_a_node_without_xl_says_so(program):
    """To the other side, too, where somebody waits."""
    (program.parent / "none").mkdir()
    nowhere = program.parent / "none/xl-receive"
    nowhere.write_text(with_xl("/nonexistent/xl"))
    done = ask(nowhere, "xl migrate-receive")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "xl-receive: /nonexistent/xl: no such program on this node\n"
