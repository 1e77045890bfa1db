# SPDX-License-Identifier: MIT
"""xend's reader of S-expressions, with its quirks, each under the line of sxp.py that it comes from.

It reads a configuration and what a peer sends alike: bytes in, values out. A
value is an atom or a string, both bytes, or a list of values.
"""
from __future__ import annotations

import re

from tests.lab.xend.python2 import PARSE_ERROR, Raised, builtin

Sxp = bytes | list["Sxp"]

SPACE = b" \t\n\v\f\r"  # 141-142
#: End an atom. Quotes do not, and most of these may begin one: so ``;`` is an atom, and no comment (144-145).
SEPARATORS = b"{}()<>[];"
CTRL_D = 4  # 222-224: the end of the text
ESCAPES = {ord("a"): b"\a", ord("b"): b"\b", ord("t"): b"\t", ord("n"): b"\n", ord("v"): b"\v", ord("f"): b"\f",
           ord("r"): b"\r", ord("\\"): b"\\", ord("'"): b"'", ord('"'): b'"'}  # 70-80
END = -1


class Reader:
    """Takes bytes as they come; ``values`` has what is complete.

    After an error it stands where it stood: the character in question is gone,
    and the next one is read in the state of before.
    """

    def __init__(self) -> None:
        self.values: list[Sxp] = []
        self.ended = False
        self._lists = [self.values]
        self._state = self._between
        self._token = bytearray()
        self._quote = 0
        self._digits = bytearray()

    def feed(self, data: bytes) -> None:
        """Read on. Raises Raised, and what was left of ``data`` is lost then."""
        for char in data:
            self._state(char)

    def end(self) -> None:
        """The text is at its end. It stays so: nothing is read any more.

        Only what the end meets is told of it: a list or a string is an error,
        but an atom or a comment ends well, and an open list around it is
        forgotten without a word (235-237, 338-340).
        """
        self.ended = True
        self._state(END)

    def _between(self, char: int) -> None:
        inside = len(self._lists) > 1
        if self.ended:
            if inside:
                raise Raised("unexpected EOF", PARSE_ERROR)  # 358-359
        elif char in SPACE:
            pass
        elif char == ord("#"):
            self._state = self._comment
        elif char == ord("("):
            self._lists.append([])
        elif char == ord(")"):
            if not inside:
                raise Raised("syntax error: )", PARSE_ERROR)  # 216-217
            done = self._lists.pop()
            self._lists[-1].append(done)
        elif char in b"\"'":
            self._quote = char
            self._token.clear()
            self._state = self._string
        elif 0x20 < char < 0x7F:
            self._token[:] = bytes([char])
            self._state = self._atom
        elif char == CTRL_D:
            self.end()
        else:
            raise Raised(f"invalid character: code {char}", PARSE_ERROR)  # 225-226: every byte beyond ASCII

    def _comment(self, char: int) -> None:
        if char == ord("\n") or self.ended:
            self._state = self._between

    def _atom(self, char: int) -> None:
        # Whatever does not end it is part of it: quotes, backslashes, control characters, bytes beyond ASCII.
        if self.ended or char in SEPARATORS or char in SPACE or char == ord("#"):
            self._finish_token()
            if not self.ended:
                self._state(char)
        else:
            self._token.append(char)

    def _finish_token(self) -> None:
        self._lists[-1].append(bytes(self._token))
        self._state = self._between

    def _string(self, char: int) -> None:
        self._fail_at_end()
        if char == self._quote:
            self._finish_token()
        elif char == ord("\\"):
            self._state = self._escape
        else:
            self._token.append(char)

    def _escape(self, char: int) -> None:
        self._fail_at_end()
        self._digits.clear()
        if char in ESCAPES:
            self._token += ESCAPES[char]
            self._state = self._string
        elif char == ord("x"):
            self._state = self._hexadecimal
        elif char in b"01234567":
            self._state = self._octal
            self._state(char)
        else:
            # 274-277: an unknown escape is a backslash, and its letter is lost.
            self._token += b"\\"
            self._state = self._string

    def _octal(self, char: int) -> None:
        self._fail_at_end()
        if char in b"01234567":
            self._digits.append(char)
            if int(self._digits, 8) > 0xFF:
                raise Raised(f"invalid octal escape: out of range {self._digits.decode()}", PARSE_ERROR)
            if len(self._digits) == 3:
                self._character(int(self._digits, 8))
        else:
            if int(self._digits, 8) > 0xFF:
                raise Raised("chr() arg not in range(256)", builtin("ValueError"))
            self._character(int(self._digits, 8))
            self._state(char)

    def _hexadecimal(self, char: int) -> None:
        self._fail_at_end()
        if char not in b"0123456789abcdefABCDEF":
            raise Raised("global name 'buf' is not defined", builtin("NameError"))  # 325: a slip of its author
        self._digits.append(char)
        if len(self._digits) == 2:
            # 320-324: a letter counts from 0, not from 10, so \x2e is \x24.
            high, low = (digit - ord("0") if digit < ord("A") else (digit - ord("A")) % 32 for digit in self._digits)
            self._character(16 * high + low)

    def _character(self, code: int) -> None:
        self._token.append(code)
        self._state = self._string

    def _fail_at_end(self) -> None:
        if self.ended:
            raise Raised("unexpected EOF", PARSE_ERROR)


def read(text: bytes) -> list[Sxp]:
    """Every value of a whole text. Raises Raised."""
    reader = Reader()
    reader.feed(text)
    reader.end()
    return reader.values


def show(value: Sxp) -> bytes:
    """Write a value as xend writes it: in quotes, as Python 2 writes them, where it is no plain word (365-397)."""
    if isinstance(value, list):
        return b"(" + b" ".join(map(show, value)) + b")"
    plain = re.fullmatch(rb"[A-Za-z0-9.\-_:/~]+", value)
    return value if plain else repr(value)[1:].encode()
