# SPDX-License-Identifier: MIT
"""A LaTeX manual as one text: files included, definitions replaced, comments gone, every place remembered.

This does what TeX's mouth does before anything is typeset. pylatexenc, which parses
the result, does not: it neither knows what a manual defines nor follows its files.
"""
from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import namedtuple
from collections.abc import Callable, Iterable

NESTING = 60  # groups and environments within each other; manuals have fewer than ten
EXPANSIONS = 100  # definitions used by definitions used by ...
GROWTH = 10_000_000  # characters that definitions may add
INCLUSIONS = 10_000

RAW_ENVIRONMENTS = ("verbatim", "verbatim*", "Verbatim", "lstlisting", "comment", "rawhtml")
"""Environments in which nothing has a meaning but their own end."""
RAW_MACROS = ("verb", "url", "path")
"""Macros whose argument is taken as it stands."""


class TexError(ValueError):
    """Input that is not converted; the message is one line, ``file:line:column: ...``."""


class Place(namedtuple("Place", ["file", "line", "column"])):
    """A place in a file, by its name; line and column count from 1."""


class File:
    """A file of the manual. Raises TexError if it is not text."""

    def __init__(self, name: str, text: str, encoding: str = "utf-8") -> None:
        self.name = name
        self.text = text
        self.encoding = encoding
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        # Windows-1252 has letters where Latin-1 and Unicode have these control characters.
        if wrong := re.search("[\0-\x08\x0b\x0e-\x1f\x7f-\x9f]|\r(?!\n)", self.text):
            kind = "neither UTF-8 nor Latin-1" if self.encoding == "latin-1" else "not text"
            raise TexError("{}:{}:{}: {}: character {:#04x}".format(
                *self.place(wrong.start()), kind, ord(wrong[0])))
        if self.text.startswith("\ufeff"):
            self.text = " " + self.text[1:]

    @classmethod
    def read(cls, path: str) -> File:
        """The file at a path. Raises OSError if it cannot be read."""
        with open(path, "rb") as opened:
            content = opened.read()
        try:
            return cls(path, content.decode())
        except UnicodeDecodeError:
            return cls(path, content.decode("latin-1"), "latin-1")

    def place(self, offset: int) -> Place:
        line = bisect_right(self._lines, offset)
        return Place(self.name, line, offset - self._lines[line - 1] + 1)

    def line(self, number: int) -> str:
        """A line of the file, without the blanks at its ends."""
        start = self._lines[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None].strip()


class Report(namedtuple("Report", ["position", "text"])):
    """Something to tell of; ``position`` is where the text is that it stands before."""


class _Origin(namedtuple("_Origin", ["start", "file", "offset", "step", "depth"])):
    """Where text comes from: the character at ``start`` stands at ``offset``, the next one at ``offset + step``.

    Text of a definition has the step 0: it comes from the place that uses the
    definition. ``depth`` counts the definitions that it came through.
    """

    def at(self, position: int) -> int:
        return self.offset + self.step * (position - self.start)


class _Traced:
    """Text of which each character is known to come from a file; positions count from 0."""

    def __init__(self, text: str, origins: list[_Origin]) -> None:
        self.text = text
        self.origins = origins

    def origin(self, position: int) -> _Origin:
        return self.origins[bisect_right(self.origins, position, key=lambda origin: origin.start) - 1]

    def place(self, position: int) -> Place:
        """The place in a file that the text at ``position`` comes from."""
        origin = self.origin(position)
        return origin.file.place(origin.at(position))

    def fail(self, position: int, message: str) -> TexError:
        """An error in the text at ``position``."""
        return TexError("{}:{}:{}: {}".format(*self.place(position), message))

    def told(self, position: int, message: str) -> str:
        """What a report says of the text at ``position``: where it is, and the line as it stands there."""
        place = self.place(position)
        return f"{place.file}:{place.line}: {message}: {self.origin(position).file.line(place.line)}"


class _Fragment(_Traced):
    """Text that is still to be read, or a part of it such as an argument; ``file`` is set for a whole file."""

    def __init__(self, text: str, origins: list[_Origin], file: File | None = None) -> None:
        super().__init__(text, origins)
        self.file = file
        self.position = 0  # up to here it has been read
        self.emitted = 0  # and up to here it has been put out

    def part(self, start: int, end: int) -> _Fragment:
        """The text from ``start`` to ``end``, with its origins."""
        origins = [
            origin._replace(start=max(origin.start - start, 0), offset=origin.at(max(origin.start, start)))
            for origin, after in zip(self.origins, [*(o.start for o in self.origins[1:]), len(self.text) + 1])
            if after > start and (origin.start < end or origin.start <= start)
        ]
        return _Fragment(self.text[start:end], origins)


class _Definition:
    """What a macro stands for: pieces of text, and numbers of arguments between them."""

    def __init__(self, body: list[str | int], delimiters: list[str], head: str = "",
                 default: _Fragment | None = None) -> None:
        self.body = body
        self.delimiters = delimiters  # what ends each argument; "" is a group or one sign
        self.head = head  # what has to stand before the first argument
        self.default = default  # of the first argument, which then is an optional one


class Source(_Traced):
    """The manual as one text."""

    def __init__(self, text: str, origins: list[_Origin], reports: list[Report]) -> None:
        super().__init__(text, origins)
        self.reports = reports

    def encoding(self, position: int) -> str:
        """The encoding of the file that the text at ``position`` comes from."""
        return self.origin(position).file.encoding

    def report(self, position: int, message: str) -> Report:
        """Something to tell of the text at ``position``."""
        return Report(position, self.told(position, message))


def raw_environment(text: str, name: str, position: int) -> int | None:
    """Where ``\\end{name}`` stands, if ``\\begin{name}`` ends at ``position``; None if nowhere."""
    end = text.find(rf"\end{{{name}}}", position)
    return None if end < 0 else end


_DELIMITED = re.compile(r"\*?[ \t]*([^\sA-Za-z*])")


def raw_macro(text: str, position: int, *, braces: bool) -> tuple[int, int, int] | None:
    """Start and end of the argument of a macro such as \\verb that ends at ``position``, and where all ends.

    It stands between two of the same sign, or with ``braces`` also in a group. None if it does not end.
    """
    match = _DELIMITED.match(text, position)
    if not match:
        return None
    start = match.end()
    if braces and match[1] == "{":
        depth = 1
        for brace in re.compile(r"[{}]").finditer(text, start):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                return start, brace.start(), brace.end()
        return None
    end = text.find(match[1], start)
    line_end = text.find("\n", start)
    return None if end < 0 or 0 <= line_end < end else (start, end, end + 1)


def load(path: str, root: str | None = None, kept: Iterable[str] = ()) -> Source:
    """Read a manual: the file at ``path``, and what it includes relative to ``root`` or else its own folder.

    Definitions of the macros in ``kept`` are left out, and reported.

    Raises OSError if the file cannot be opened, TexError if it is empty, if it or an included one
    is not text, if an included one is missing, and where TeX would not get to an end.
    """
    file = File.read(path)
    if not file.text.strip():
        raise TexError(f"{path}:1:1: an empty file")
    return _Expander(root or os.path.dirname(path), set(kept)).run(file)


def from_text(text: str, name: str, kept: Iterable[str] = ()) -> Source:
    """The same for LaTeX text; ``name`` is the file it came from. Raises as load() does."""
    return _Expander(os.path.dirname(name), set(kept)).run(File(name, text))


def stem(path: str) -> str:
    """The name of a file, without its folder and without what stands behind the last dot."""
    return os.path.splitext(os.path.basename(path))[0]


_TOKEN = {
    at: re.compile(rf"%|\\(?:{letters}+|.|$)|[{{}}]", re.DOTALL)
    for at, letters in ((False, "[A-Za-z]"), (True, "[A-Za-z@]"))
}
_BLANKS = re.compile(r"[ \t\r\f]*\n[ \t\r\f]*(?=[^ \t\r\f\n]|\Z)|[ \t\r\f]*")
_COMMENT = re.compile(r"%[^\n]*(?:\n[ \t\r\f]*|\Z)")
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"\s*\{([^{}]*)\}")
_MACRO = re.compile(r"\\([A-Za-z@]+|.)", re.DOTALL)
_BRACKET = re.compile(r"[ \t\r]*\n?[ \t\r]*\[")
_EQUALS = re.compile(r"\s*=?\s*")
_CONDITIONAL = re.compile(r"\\(if[A-Za-z]*|else|fi)(?![A-Za-z])")
_PLAIN_NAME = re.compile(r"\s*([^\s{}\\%]+)")
_CONTROL_WORD_END = re.compile(r"(?<!\\)(?:\\\\)*\\[A-Za-z]+\Z")
# What \xspace does not put a space before: the list of xspace 1.13 (2009).
_NO_SPACE_BEFORE = re.compile(r"[\s,.'/?;:!~){}-]|\\(?:[/ ]|space(?![A-Za-z])|footnote(?:mark)?(?![A-Za-z]))|\Z")


def _comment_end(text: str, start: int) -> int:
    """Where the text goes on after a comment: in the next line, and with its line end if that is empty."""
    end = _COMMENT.match(text, start).end()
    return text.rindex("\n", start, end) if text.startswith("\n", end) else end


class _Expander:
    """Reads fragments from a stack, as TeX does: a used definition is a new fragment on top."""

    def __init__(self, root: str, kept: set[str]) -> None:
        self.root = root
        self.kept = kept
        self.stack: list[_Fragment] = []
        self.macros: dict[str, _Definition] = {}
        self.environments: dict[str, tuple[_Definition, _Definition]] = {}
        self.scopes: list[dict[str, _Definition | None]] = []  # what a group redefined, as it was before
        self.at_letters = False
        self.grown = 0
        self.included = 0
        self.out: list[str] = []
        self.length = 0
        self.origins: list[_Origin] = []
        self.reports: list[Report] = []

    def run(self, file: File) -> Source:
        self.name = file.name
        self._push_file(file, file.text)
        while self.stack:
            top = self.stack[-1]
            match = _TOKEN[self.at_letters].search(top.text, top.position)
            if match is None:
                self._emit(top, len(top.text))
                self.stack.pop()
                continue
            start, top.position = match.span()
            token = match[0]
            if token == "%":
                self._emit(top, start)
                self._drop(top, _comment_end(top.text, start))
            elif token == "{":
                self._open(top, start)
            elif token == "}":
                self._close()
            elif token == "\\":
                raise top.fail(start, "a backslash at the end of the file")
            elif token[1:] in self.macros:
                self._take(top, start)
                self._expand(top, start, token, self.macros[token[1:]])
            elif token[1:] in _PRIMITIVES:
                _PRIMITIVES[token[1:]](self, top, start)
        return Source("".join(self.out), self.origins or [_Origin(0, file, 0, 1, 0)], self.reports)

    def _report(self, fragment: _Fragment, position: int, message: str) -> None:
        self.reports.append(Report(self.length, fragment.told(position, message)))

    # What is put out, what is dropped, what is read next

    def _emit(self, fragment: _Fragment, end: int) -> None:
        """Put out what was read of a fragment and not put out yet, up to ``end``."""
        start = fragment.emitted
        if start < end:
            part = fragment.part(start, end)
            # A control word must not run into letters that stood elsewhere.
            if self.out and part.text[0].isalpha() and _CONTROL_WORD_END.search(self.out[-1]):
                self.out.append(" ")
                self.length += 1
            self.origins += [origin._replace(start=self.length + origin.start) for origin in part.origins]
            self.out.append(part.text)
            self.length += len(part.text)
        fragment.emitted = end

    @staticmethod
    def _drop(fragment: _Fragment, end: int) -> None:
        fragment.position = fragment.emitted = end

    def _take(self, fragment: _Fragment, start: int) -> None:
        """Put out what stands before a macro at ``start``, and drop the macro with the blanks behind it."""
        end = fragment.position
        self._emit(fragment, start)
        self._drop(fragment, end)
        if fragment.text[end - 1].isalpha():
            self._skip_blanks(fragment)

    def _push(self, text: str, fragment: _Fragment, position: int) -> None:
        """Read ``text`` next, as if it stood at ``position``."""
        origin = fragment.origin(position)
        self.stack.append(_Fragment(text, [_Origin(0, origin.file, origin.at(position), 0, origin.depth)]))

    def _push_file(self, file: File, text: str) -> None:
        fragment = _Fragment(text, [_Origin(0, file, 0, 1, 0)], file)
        if file.encoding != "utf-8":  # a guess: it may be another of that family
            self._report(fragment, re.search("[^\0-\x7f]", text).start(), "read as Latin-1, since it is not UTF-8")
        self.stack.append(fragment)

    def _skip_blanks(self, fragment: _Fragment) -> None:
        """Drop what TeX drops behind a control word."""
        self._drop(fragment, _BLANKS.match(fragment.text, fragment.position).end())

    def _open(self, fragment: _Fragment, position: int) -> None:
        if len(self.scopes) >= NESTING:
            raise fragment.fail(position, f"more than {NESTING} groups and environments in each other")
        self.scopes.append({})

    def _close(self) -> None:
        for name, definition in (self.scopes.pop() if self.scopes else {}).items():
            if definition is None:
                self.macros.pop(name, None)
            else:
                self.macros[name] = definition

    # Arguments

    def _next(self, what: str, fragment: _Fragment, position: int) -> _Fragment:
        """Skip blanks and comments; the fragment that goes on with something else.

        Where there is none, ``what`` stands at ``position`` of ``fragment`` and lacks an argument.
        """
        while self.stack:
            top = self.stack[-1]
            self._drop(top, _SPACE.match(top.text, top.position).end())
            if top.position == len(top.text):
                self.stack.pop()
            elif top.text[top.position] == "%":
                self._drop(top, _comment_end(top.text, top.position))
            elif top.text[top.position] == "}":
                break
            else:
                return top
        raise fragment.fail(position, f"{what} lacks an argument")

    def _group_end(self, fragment: _Fragment, start: int) -> int:
        """Where the group that begins at ``start`` has its closing brace."""
        depth, position = 0, start
        while match := _TOKEN[self.at_letters].search(fragment.text, position):
            position = match.end()
            if match[0] == "%":
                position = _comment_end(fragment.text, match.start())
            elif match[0] in "{}":
                depth += 1 if match[0] == "{" else -1
                if depth == 0:
                    return match.start()
        raise fragment.fail(start, "this brace is not closed")

    def _argument(self, what: str, fragment: _Fragment, position: int) -> _Fragment:
        """The next group, without its braces, or the next sign or macro."""
        top = self._next(what, fragment, position)
        start = top.position
        if top.text[start] == "{":
            end = self._group_end(top, start)
            self._drop(top, end + 1)
            return top.part(start + 1, end)
        match = _TOKEN[self.at_letters].match(top.text, start)
        self._drop(top, match.end() if match else start + 1)
        return top.part(start, top.position)

    def _optional(self) -> _Fragment | None:
        """An argument in brackets, if that is what comes next."""
        top = self.stack[-1]
        match = _BRACKET.match(top.text, top.position)
        if not match:
            return None
        end = self._find(top, match.end(), "]")
        if end is None:
            raise top.fail(match.end() - 1, "this bracket is not closed")
        self._drop(top, end + 1)
        return top.part(match.end(), end)

    def _find(self, fragment: _Fragment, start: int, sign: str) -> int | None:
        """Where ``sign`` stands outside of groups, from ``start`` on."""
        position = start
        while position < len(fragment.text):
            if fragment.text.startswith(sign, position):
                return position
            if fragment.text[position] == "{":
                position = self._group_end(fragment, position)
            elif fragment.text[position] == "}":
                return None
            elif fragment.text[position] == "\\":
                position += 1
            position += 1
        return None

    def _delimited(self, what: str, delimiter: str, fragment: _Fragment, position: int) -> _Fragment:
        """An argument of \\def that ends at a sign."""
        top = self.stack[-1]
        end = self._find(top, top.position, delimiter)
        if end is None:
            raise fragment.fail(position, f"{what} lacks {delimiter!r} behind its argument")
        argument = top.part(top.position, end)
        self._drop(top, end + len(delimiter))
        return argument

    # Macros and environments that the manual defines

    def _define(self, name: str, definition: _Definition, fragment: _Fragment, position: int,
                everywhere: bool = False) -> None:
        if name in self.kept:
            self._report(fragment, position, rf"left out, how this manual makes \{name}")
            return
        if everywhere:
            for scope in self.scopes:
                scope.pop(name, None)
        elif self.scopes:
            self.scopes[-1].setdefault(name, self.macros.get(name))
        self.macros[name] = definition

    def _definition(self, text: _Fragment, delimiters: list[str], head: str = "",
                    default: _Fragment | None = None) -> _Definition:
        body: list[str | int] = []
        start = 0
        for match in re.finditer("#(.?)", text.text):
            body.append(text.text[start : match.start()])
            start = match.end()
            if match[1] == "#":
                body.append("#")
            elif match[1].isdecimal() and 0 < int(match[1]) <= len(delimiters):
                body.append(int(match[1]))
            else:
                raise text.fail(match.start(), f"an argument {match[0]} that is not declared")
        return _Definition([*body, text.text[start:]], delimiters, head, default)

    def _expand(self, fragment: _Fragment, start: int, what: str, definition: _Definition) -> None:
        """Read next what stands for ``what``, which stood at ``start``: its definition with the arguments in it."""
        origin = fragment.origin(start)
        if origin.depth >= EXPANSIONS:
            raise fragment.fail(start, f"{what} is defined by way of itself")
        if definition.head:
            top = self.stack[-1]
            if not top.text.startswith(definition.head, top.position):
                raise fragment.fail(start, f"{what} lacks {definition.head!r} before its arguments")
            self._drop(top, top.position + len(definition.head))
        arguments = []
        for delimiter in definition.delimiters:
            if not arguments and definition.default is not None:
                argument = self._optional() or definition.default
            elif delimiter:
                argument = self._delimited(what, delimiter, fragment, start)
            else:
                argument = self._argument(what, fragment, start)
            arguments.append(argument)
        texts: list[str] = []
        origins: list[_Origin] = []
        length = 0
        for piece in definition.body:
            if isinstance(piece, int):
                text, found = arguments[piece - 1].text, arguments[piece - 1].origins
            else:
                text, found = piece, [_Origin(0, origin.file, origin.at(start), 0, origin.depth + 1)]
            if text:
                origins += [part._replace(start=length + part.start) for part in found]
                texts.append(text)
                length += len(text)
        self.grown += length
        if self.grown > GROWTH:
            raise fragment.fail(start, f"{what} makes the text grow by more than {GROWTH:,} characters")
        text = "".join(texts)
        if text:
            self.stack.append(_Fragment(text, origins))
        else:  # so that the line that it stands on is not an empty one
            self._push("{}", fragment, start)

    # What TeX itself does

    def _name(self, what: str, fragment: _Fragment, position: int) -> str:
        """The macro that is the next argument, without its backslash."""
        argument = self._argument(what, fragment, position)
        match = _MACRO.fullmatch(argument.text.strip())
        if not match:
            raise argument.fail(0, f"{what} of something that is no macro")
        return match[1]

    def _def(self, fragment: _Fragment, start: int) -> None:
        what = fragment.text[start : fragment.position]
        self._take(fragment, start)
        name = self._name(what, fragment, start)
        top = self.stack[-1]
        end = top.text.find("{", top.position)
        if end < 0:
            raise fragment.fail(start, f"{what} lacks an argument")
        head, *delimiters = re.split(r"#\d", top.text[top.position : end])
        if not delimiters:
            head = head.strip()
        self._drop(top, end)
        body = self._argument(what, fragment, start)
        self._define(name, self._definition(body, delimiters, head), fragment, start, what in (r"\gdef", r"\xdef"))
        self._skip_rest_of_line()

    def _newcommand(self, fragment: _Fragment, start: int) -> None:
        what = fragment.text[start : fragment.position]
        self._take(fragment, start)
        self._star()
        name = self._name(what, fragment, start)
        definition = self._declared(what, fragment, start)
        if what != r"\providecommand" or name not in self.macros:
            self._define(name, definition, fragment, start)
        self._skip_rest_of_line()

    def _newenvironment(self, fragment: _Fragment, start: int) -> None:
        what = fragment.text[start : fragment.position]
        self._take(fragment, start)
        self._star()
        name = self._argument(what, fragment, start).text.strip()
        begin = self._declared(what, fragment, start)
        self.environments[name] = begin, self._definition(self._argument(what, fragment, start), [])
        self._skip_rest_of_line()

    def _declared(self, what: str, fragment: _Fragment, start: int) -> _Definition:
        """``[number][default]{body}``"""
        number = self._optional()
        count = number.text.strip() if number else "0"
        if not re.fullmatch("[0-9]", count):
            raise number.fail(0, f"{what} with a number of arguments that is none")
        default = self._optional() if number else None
        return self._definition(self._argument(what, fragment, start), [""] * int(count), "", default)

    def _star(self) -> None:
        top = self.stack[-1]
        if top.text.startswith("*", top.position):
            self._drop(top, top.position + 1)

    def _skip_rest_of_line(self) -> None:
        """A line with nothing but definitions is no empty line."""
        if self.stack:
            self._skip_blanks(self.stack[-1])

    def _let(self, fragment: _Fragment, start: int) -> None:
        self._take(fragment, start)
        name = self._name(r"\let", fragment, start)
        top = self.stack[-1]
        self._drop(top, _EQUALS.match(top.text, top.position).end())
        other = self._argument(r"\let", fragment, start).text
        definition = self.macros.get(other[1:]) if other.startswith("\\") else None
        self._define(name, definition or _Definition([other], []), fragment, start)
        self._skip_rest_of_line()

    def _make_at(self, fragment: _Fragment, start: int) -> None:
        self.at_letters = fragment.text.startswith(r"\makeatletter", start)
        self._take(fragment, start)

    def _group(self, fragment: _Fragment, start: int) -> None:
        brace = "{" if fragment.text.startswith("\\b", start) else "}"
        self._take(fragment, start)
        self._push(brace, fragment, start)

    def _xspace(self, fragment: _Fragment, start: int) -> None:
        self._take(fragment, start)
        following = next((f.text[f.position : f.position + 20] for f in reversed(self.stack)
                          if f.position < len(f.text)), "")
        if not _NO_SPACE_BEFORE.match(following):
            self._push(" ", fragment, start)

    def _latexhtml(self, fragment: _Fragment, start: int) -> None:
        self._take(fragment, start)
        shown = self._argument(r"\latexhtml", fragment, start)
        hidden = self._argument(r"\latexhtml", fragment, start)
        self._report(hidden, 0, r"left out, what \latexhtml has for HTML")
        self.stack.append(shown)

    def _iffalse(self, fragment: _Fragment, start: int) -> None:
        self._take(fragment, start)
        self._report(fragment, start, r"left out, what \iffalse hides")
        depth = 1
        for match in _CONDITIONAL.finditer(fragment.text, fragment.position):
            if depth == 1 and match[1] == "else":
                raise fragment.fail(match.start(), r"unknown macro \else")
            depth += {"fi": -1, "else": 0}.get(match[1], 1)
            if depth == 0:
                self._drop(fragment, match.end())
                self._skip_blanks(fragment)
                return
        raise fragment.fail(start, r"\iffalse without \fi")

    # Files

    def _input(self, fragment: _Fragment, start: int) -> None:
        what = fragment.text[start : fragment.position]
        self._emit(fragment, start)
        match = _NAME.match(fragment.text, fragment.position) or _PLAIN_NAME.match(fragment.text, fragment.position)
        name = match[1].strip() if match else ""
        end = match.end() if match else fragment.position + len(what)
        if what == r"\bibliography":  # what BibTeX made of it
            name = stem(self.name) + ".bbl"
        candidates = [os.path.join(self.root, f"{name}.tex"), os.path.join(self.root, name)]
        path = next((path for path in candidates if os.path.isfile(path)), None)
        if not name or path is None:
            raise fragment.fail(start, f"{what}: there is no file {name} in {self.root or '.'}")
        if any(f.file and os.path.realpath(f.file.name) == os.path.realpath(path) for f in self.stack):
            raise fragment.fail(start, f"{what}: {name} includes itself")
        self.included += 1
        if self.included > INCLUSIONS:
            raise fragment.fail(start, f"{what}: more than {INCLUSIONS:,} files are included")
        self._drop(fragment, end)
        try:
            file = File.read(path)
        except OSError as error:
            raise fragment.fail(start, f"{what}: {path}: {error.strerror}") from None
        if what == r"\include":  # on pages of its own
            self._push("\n\n", fragment, start)
        # The end of its last line is the end of the line that includes it.
        self._push_file(file, re.sub(r"\r?\n\Z", "", file.text))
        if what == r"\include":
            self._push("\n\n", fragment, start)

    def _endinput(self, fragment: _Fragment, start: int) -> None:
        self._emit(fragment, start)
        while True:
            top = self.stack.pop()
            self._report_rest(top, r"\endinput")
            if top.file:
                return

    def _report_rest(self, fragment: _Fragment, behind: str) -> None:
        position = fragment.position
        while position < len(fragment.text):
            position = _SPACE.match(fragment.text, position).end()
            if not fragment.text.startswith("%", position):
                break
            position = _comment_end(fragment.text, position)
        if position < len(fragment.text):
            self._report(fragment, position, f"left out, what stands behind {behind}")

    # Environments

    def _environment(self, fragment: _Fragment, start: int) -> str:
        """The name of the environment that begins or ends at ``start``."""
        match = _NAME.match(fragment.text, fragment.position)
        if not match:
            what = fragment.text[start : fragment.position]
            raise fragment.fail(start, f"{what} without the name of an environment")
        fragment.position = match.end()
        return match[1]

    def _begin(self, fragment: _Fragment, start: int) -> None:
        name = self._environment(fragment, start)
        self._open(fragment, start)
        if name in self.environments:
            self._replace(fragment, start, self.environments[name][0])
        elif name in RAW_ENVIRONMENTS:
            end = raw_environment(fragment.text, name, fragment.position)
            if end is None:
                raise fragment.fail(start, rf"\begin{{{name}}} without \end{{{name}}}")
            fragment.position = end

    def _end(self, fragment: _Fragment, start: int) -> None:
        name = self._environment(fragment, start)
        self._close()
        if name in self.environments:
            self._replace(fragment, start, self.environments[name][1])
        elif name == "document":
            self._emit(fragment, fragment.position)
            while self.stack:
                self._report_rest(self.stack.pop(), r"\end{document}")

    def _replace(self, fragment: _Fragment, start: int, definition: _Definition) -> None:
        """Read a definition in place of what stands from ``start`` to where the fragment has been read."""
        end = fragment.position
        self._emit(fragment, start)
        self._drop(fragment, end)
        self._expand(fragment, start, fragment.text[start:end], definition)

    def _raw(self, fragment: _Fragment, start: int) -> None:
        what = fragment.text[start : fragment.position]
        found = raw_macro(fragment.text, fragment.position, braces=what != r"\verb")
        if found is None:
            raise fragment.fail(start, f"{what} does not end")
        fragment.position = found[2]


_PRIMITIVES: dict[str, Callable[[_Expander, _Fragment, int], None]] = {
    "def": _Expander._def,
    "gdef": _Expander._def,
    "edef": _Expander._def,
    "xdef": _Expander._def,
    "long": _Expander._take,
    "global": _Expander._take,
    "let": _Expander._let,
    "newcommand": _Expander._newcommand,
    "renewcommand": _Expander._newcommand,
    "providecommand": _Expander._newcommand,
    "DeclareRobustCommand": _Expander._newcommand,
    "newenvironment": _Expander._newenvironment,
    "renewenvironment": _Expander._newenvironment,
    "begingroup": _Expander._group,
    "bgroup": _Expander._group,
    "endgroup": _Expander._group,
    "egroup": _Expander._group,
    "makeatletter": _Expander._make_at,
    "makeatother": _Expander._make_at,
    "xspace": _Expander._xspace,
    "latexhtml": _Expander._latexhtml,
    "iffalse": _Expander._iffalse,
    "input": _Expander._input,
    "include": _Expander._input,
    "bibliography": _Expander._input,
    "endinput": _Expander._endinput,
    "begin": _Expander._begin,
    "end": _Expander._end,
} | {name: _Expander._raw for name in RAW_MACROS}
"""What is carried out here; all else is left for the parser."""
