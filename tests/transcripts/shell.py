# SPDX-License-Identifier: MIT
"""One bash whose state lasts from command to command, and which tells when a command has ended, and how."""
from __future__ import annotations

import os
import re
import secrets
import select
import subprocess
import time
from collections.abc import Callable

#: Bytes after which an output counts as endless.
ENDLESS = 1_000_000

# Reads commands, each ended by a zero byte, and runs one after the other. The commands come in, and the marks
# of their ends go out, by descriptors of their own, so that a command can neither read the former nor
# redirect the latter. bash is not interactive, and so says nothing of jobs that it starts.
#
# At a reader's pace a job that was killed is gone before the next command is typed, and its number is free
# again. Here the next command comes at once: so `kill %1` waits for the end of the job.
LOOP = r"""
exec {_requests}<&0 {_answers}>&1 </dev/null
_status=0
_restore_status() { return "$_status"; }
kill() {
    builtin kill "$@" || return
    case $1 in %*) wait "$@" 2>/dev/null ;; esac
    return 0
}
while IFS= read -r -d "" -u "$_requests" _command; do
    _restore_status
    eval "$_command"
    _status=$?
    printf 'MARK %d\n' "$_status" >&"$_answers"
done
"""


class ShellError(RuntimeError):
    """A command did not come to an end; ``output`` is what it printed until then."""

    def __init__(self, reason: str, output: str):
        super().__init__(reason)
        self.output = output


class Shell:
    """A bash; use it as a context manager.

    ``spawn`` starts a program where the shell is to run: it takes the program and its arguments, and the
    options of ``subprocess.Popen``.
    """

    def __init__(self, spawn: Callable[..., subprocess.Popen]):
        mark = secrets.token_hex(16)
        self._end = re.compile(rb"%s (\d+)\n" % mark.encode())
        self._left = b""
        self._process = spawn("bash", "--norc", "--noprofile", "-c", LOOP.replace("MARK", mark), "bash",
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()

    def run(self, command: str, limit: float) -> tuple[str, int]:
        """Run a command; its output, standard error included, and its exit status.

        What a background job prints belongs to the command that it comes with, as on a terminal. Raises
        ShellError where the command takes more than ``limit`` seconds, prints without end, or ends the shell.
        """
        deadline = time.monotonic() + limit
        said, self._left = self._left, b""
        self._process.stdin.write(command + "\0")
        self._process.stdin.flush()
        output = select.poll()
        output.register(self._process.stdout, select.POLLIN)
        while not (end := self._end.search(said)):
            if len(said) > ENDLESS:
                raise ShellError(f"prints more than {ENDLESS:,} bytes", _text(said[:1000]))
            if not output.poll(max(0, deadline - time.monotonic()) * 1000):
                raise ShellError(f"has not ended after {limit:g} s", _text(said))
            if not (data := os.read(self._process.stdout.fileno(), 65536)):
                raise ShellError("has ended the shell", _text(said))
            said += data
        self._left = said[end.end():]
        return _text(said[:end.start()]), int(end[1])


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
