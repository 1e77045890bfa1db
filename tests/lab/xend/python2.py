# SPDX-License-Identifier: MIT
"""What Python 2.7, which xend ran on, does otherwise than the Python that runs the model."""
from __future__ import annotations

import re
import warnings

#: The classes of the exceptions that reach a peer, as ``str()`` shows them there.
XEND_ERROR = "<class 'xen.xend.XendError.XendError'>"
PARSE_ERROR = "<class 'xen.xend.sxp.ParseError'>"


class Raised(Exception):
    """An exception of xend's: its class as Python 2 shows it, and what it says.

    It ends the start of xend, or is the answer to a peer.
    """

    def __init__(self, value: str, kind: str = XEND_ERROR):
        super().__init__(value)
        self.kind = kind


def builtin(name: str) -> str:
    """A built-in exception class, as ``str()`` shows it."""
    return f"<type 'exceptions.{name}'>"


def text(value: bytes) -> str:
    """Bytes as text for a message, one character a byte."""
    return value.decode("latin-1")


def show(value: object) -> str:
    """A value for a message: in quotes, on one line."""
    return repr(value)[1:] if isinstance(value, bytes) else "a list"


def integer(word: bytes) -> int | None:
    """``int(word)``: no underscores, and space even behind the sign; None where it raises ValueError."""
    match = re.fullmatch(rb"[ \t-\r]*([+-]?)[ \t-\r]*([0-9]+)[ \t-\r]*", word)
    return int(match[1] + match[2]) if match else None


def is_hexadecimal(word: bytes) -> bool:
    """Whether ``int(word, 16)`` takes it; ``be0`` and ``-be`` are numbers to it."""
    return re.fullmatch(rb"[ \t-\r]*[+-]?[ \t-\r]*(0[xX])?[0-9a-fA-F]+[ \t-\r]*", word) is not None


def host_for_bind(host: bytes) -> bytes:
    """The address that ``socket.bind`` takes a host for, where it is four decimal numbers.

    Python 2 reads them with ``sscanf("%d.%d.%d.%d")``: leading zeros do not make
    them octal, and space and a sign may stand before each. Python 3 asks
    inet_pton(), so it gets them in the form that this knows.
    """
    match = re.fullmatch(rb"\.".join([rb"[ \t-\r]*([+-]?[0-9]+)"] * 4), host)
    numbers = [_as_c_int(int(number)) for number in match.groups()] if match else []
    if numbers and all(0 <= number <= 255 for number in numbers):
        return b".".join(b"%d" % number for number in numbers)
    return host


def _as_c_int(number: int) -> int:
    """A number as ``%d`` stores it: strtol() stops at the limits of a long, and an int keeps the low 32 bits."""
    low = max(-2**63, min(number, 2**63 - 1)) & 0xFFFFFFFF
    return low - 2**32 if low >= 2**31 else low


class _Pattern:
    """Rewrites a regular expression of Python 2.7 for Python 3; raises re.error where 2.7 would.

    Two groups of differences: what Python 2 takes and Python 3 refuses (an
    unknown escape of a letter, flags in mid-pattern, large octal escapes), and
    what only Python 3 knows (possessive repeats, atomic groups, flags for a
    group). All else is left to Python 3, errors included. Not covered: the flag x
    in mid-pattern, and a condition on a group that is not there.
    """

    LETTERS = b"abfnrtvxABdDsSwWZ"
    CLASS_LETTERS = b"abfnrtvxdDsSwW"
    #: Three octal digits are a character, of which Python 2 keeps the low 8 bits.
    OCTAL = re.compile(rb"\\([0-7]{3})")
    FLAGS = re.compile(rb"\(\?([iLmstux]+)\)")
    EXTENSION = re.compile(rb"\(\?(P[<=]|[:=!(]|<[=!])")
    REPEAT = re.compile(rb"[*+?]|\{(?!\})[0-9]*(,[0-9]*)?\}")

    def __init__(self, pattern: bytes):
        self.pattern = pattern
        self.position = 0
        self.flags = b""

    def rewrite(self) -> bytes:
        parts = []
        while self.position < len(self.pattern):
            parts.append(self._next())
        return (b"(?%s)" % self.flags if self.flags else b"") + b"".join(parts)

    def _take(self, count: int) -> bytes:
        taken = self.pattern[self.position:self.position + count]
        self.position += count
        return taken

    def _next(self) -> bytes:
        char = self.pattern[self.position:self.position + 1]
        if char == b"\\":
            return self._escape(self.LETTERS)
        if char == b"[":
            return self._class()
        if self.pattern.startswith(b"(?#", self.position):
            return self._comment()
        if self.pattern.startswith(b"(?", self.position):
            return self._extension()
        if repeat := self.REPEAT.match(self.pattern, self.position):
            return self._repeat(repeat)
        return self._take(1)

    def _escape(self, letters: bytes) -> bytes:
        if octal := self.OCTAL.match(self.pattern, self.position):
            self._take(4)
            return rb"\x%02x" % (int(octal[1], 8) & 0xFF)
        escape = self._take(2)
        if escape[1:].isalpha() and escape[1:] not in letters:
            return rb"\x%02x" % escape[1]
        return escape

    def _class(self) -> bytes:
        parts = [self._take(1)]
        if self.pattern.startswith(b"^", self.position):
            parts.append(self._take(1))
        first = True
        while self.position < len(self.pattern):
            char = self.pattern[self.position:self.position + 1]
            if char == b"]" and not first:
                parts.append(self._take(1))
                break
            # A bracket within a class is a future set operation to Python 3, and a bracket.
            parts.append(self._escape(self.CLASS_LETTERS) if char == b"\\" else self._take(1))
            first = False
        return b"".join(parts)

    def _comment(self) -> bytes:
        end = self.pattern.find(b")", self.position)
        if end < 0:
            raise re.error("missing ), unterminated comment")
        return self._take(end + 1 - self.position)

    def _extension(self) -> bytes:
        if flags := self.FLAGS.match(self.pattern, self.position):
            self._take(len(flags[0]))
            # Without u and t nothing changes for ASCII; they are no flags of a pattern of bytes in Python 3.
            self.flags += bytes(flag for flag in flags[1] if flag not in b"tu")
            # It is nothing, and a repeat behind it is that of what stands before it. But it parts what is around it.
            return b"" if self.REPEAT.match(self.pattern, self.position) else b"(?:)"
        if not self.EXTENSION.match(self.pattern, self.position):
            raise re.error("unknown extension")
        return self._take(2)

    def _repeat(self, repeat: re.Match[bytes]) -> bytes:
        taken = self._take(len(repeat[0]))
        if self.pattern.startswith(b"?", self.position):
            return taken + self._take(1)
        if self.pattern.startswith(b"+", self.position):
            raise re.error("multiple repeat")  # possessive to Python 3.11
        return taken


def compile_pattern(pattern: bytes) -> re.Pattern[bytes]:
    """``re.compile`` of Python 2.7. Raises Raised where that does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            compiled = re.compile(_Pattern(pattern).rewrite())
    except (re.error, OverflowError, RecursionError) as error:
        raise Raised(f"{show(pattern)} is no regular expression: {error}") from error
    if compiled.groups > 99:
        raise Raised(f"{show(pattern)}: {compiled.groups} groups, and 99 is the limit")
    return compiled
