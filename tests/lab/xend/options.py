# SPDX-License-Identifier: MIT
"""A setting in xend's configuration, and what counts as a yes, a number, a text."""
from __future__ import annotations

from tests.lab.xend import sxp
from tests.lab.xend.python2 import Raised, integer, show
from tests.lab.xend.sxp import Sxp

ON = (b"yes", b"y", b"1", b"on", b"true", b"t")  # XendOptions.py:486
OFF = (b"no", b"n", b"0", b"off", b"false", b"f")


class Options:
    """The settings of a configuration. Each method raises Raised where xend takes no such value."""

    def __init__(self, forms: list[Sxp]):
        self.forms = forms

    def value(self, name: str, default: Sxp | None) -> Sxp | None:
        """The first value of the first setting of that name; the default where either is missing.

        Only lists at the top level count, so an unknown or misspelt name is
        no error (sxp.py:495-506). A list that begins with ``@`` holds
        attributes, and the value comes behind it (474-488).
        """
        for form in self.forms:
            if isinstance(form, list) and form and form[0] == name.encode():
                values = form[1:]
                if values and isinstance(values[0], list) and values[0][:1] == [b"@"]:
                    values = values[1:]
                return values[0] if values else default
        return default

    def flag(self, name: str, default: bytes = b"no") -> bool:
        """A yes or a no, in any case (XendOptions.py:484-490)."""
        value = self.value(name, default)
        word = value.lower() if isinstance(value, bytes) else b""
        if word in ON:
            return True
        if word in OFF:
            return False
        raise Raised(f"{name}: {show(value)} is neither yes nor no")

    def number(self, name: str, default: int) -> int:
        """A whole number (XendOptions.py:492-497)."""
        value = self.value(name, b"%d" % default)
        number = integer(value) if isinstance(value, bytes) else None
        if number is None:
            raise Raised(f"{name}: {show(value)} is not a number")
        return number

    def text(self, name: str) -> bytes:
        """A text; empty where it is not set. xend itself takes a list for one, and fails when it uses it."""
        value = self.value(name, b"")
        if isinstance(value, list):
            raise Raised(f"{name}: a list, where a text is expected")
        return value


def load(path: str) -> Options:
    """Read a configuration; a file that is not there is an empty one (XendOptions.py:448-473)."""
    try:
        with open(path, "rb") as file:
            return Options(sxp.read(file.read()))
    except FileNotFoundError:
        return Options([])
    except OSError as error:
        raise Raised(error.strerror or str(error)) from error
