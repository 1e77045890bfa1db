# SPDX-License-Identifier: MIT
"""What becomes what. Whatever stands in none of these tables is an error.

Signs say what arguments a macro or an environment takes, as pylatexenc has it:
``{`` one that it needs, ``[`` an optional one, ``*`` a star. Two are our own: ``=``
is a length or a number, as in ``\\parskip=1pt``, and ``raw`` is taken as it stands. A
handler gets the reader, the node, the flow that it adds to, and the style of the
text around it.
"""
from __future__ import annotations

import unicodedata
from collections.abc import Callable

from pylatexenc.latexwalker import LatexEnvironmentNode, LatexMacroNode

from .document import (
    EMPHASIS,
    LITERAL,
    STRONG,
    Break,
    Footnote,
    ItemList,
    Paragraph,
    Quote,
    Today,
)

if False:  # for the types only; reading imports this module
    from .reading import Flow, Reader

HEADINGS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")

# What these do is in the tables below, however a manual makes them look: its own definitions are left out.
FIXED = (*HEADINGS, "caption", "footnote", "item", "maketitle", "tableofcontents")

# A character that has a meaning in LaTeX, meant as itself: \% and so on.
CHARACTERS = "%&#$_{} "

# What TeX makes of these in text, but not in code.
LIGATURES = {
    "``": "\N{LEFT DOUBLE QUOTATION MARK}",
    "''": "\N{RIGHT DOUBLE QUOTATION MARK}",
    "`": "\N{LEFT SINGLE QUOTATION MARK}",
    "'": "\N{RIGHT SINGLE QUOTATION MARK}",
    "---": "\N{EM DASH}",
    "--": "\N{EN DASH}",
    "~": "\N{NO-BREAK SPACE}",
}

# Macros that are text.
SYMBOLS = {
    "AA": "Å", "AE": "Æ", "BibTeX": "BibTeX", "L": "Ł", "LaTeX": "LaTeX", "LaTeXe": "LaTeX2e", "O": "Ø", "OE": "Œ",
    "P": "¶", "S": "§", "TeX": "TeX", "aa": "å", "ae": "æ", "copyright": "©", "dag": "†", "ddag": "‡", "dots": "…",
    "euro": "€", "i": "ı", "j": "ȷ", "l": "ł", "ldots": "…", "lq": "‘", "o": "ø", "oe": "œ", "pounds": "£",
    "rq": "’", "slash": "/", "ss": "ß", "textasciicircum": "^",
    "textasciigrave": "`", "textasciitilde": "~", "textbackslash": "\\",
    "textbar": "|", "textbullet": "•", "textcopyright": "©", "textdegree": "°", "textdollar": "$",
    "textemdash": "—", "textendash": "–", "textgreater": ">", "textless": "<", "textquotedbl": '"',
    "textquotesingle": "'", "textregistered": "®", "texttrademark": "™", "textunderscore": "_",
}

# Macros that leave a gap.
SPACES = {
    ",": "\N{NO-BREAK SPACE}", ":": "\N{NO-BREAK SPACE}", ";": "\N{NO-BREAK SPACE}", "\t": " ", "\n": " ",
    "\r": " ", "enskip": " ", "enspace": " ", "hfil": " ", "hfill": " ",
    "nobreakspace": "\N{NO-BREAK SPACE}", "qquad": " ", "quad": " ", "space": " ", "thinspace": "\N{NO-BREAK SPACE}",
}
SPACES_WITH_ARGUMENT = {"hspace": "*{", "hskip": "=", "kern": "="}

# Marks on the letter that is the argument.
ACCENTS = {
    "'": "\N{COMBINING ACUTE ACCENT}", '"': "\N{COMBINING DIAERESIS}", ".": "\N{COMBINING DOT ABOVE}",
    "=": "\N{COMBINING MACRON}", "H": "\N{COMBINING DOUBLE ACUTE ACCENT}", "^": "\N{COMBINING CIRCUMFLEX ACCENT}",
    "`": "\N{COMBINING GRAVE ACCENT}", "b": "\N{COMBINING MACRON BELOW}", "c": "\N{COMBINING CEDILLA}",
    "d": "\N{COMBINING DOT BELOW}", "k": "\N{COMBINING OGONEK}", "r": "\N{COMBINING RING ABOVE}",
    "u": "\N{COMBINING BREVE}", "v": "\N{COMBINING CARON}", "~": "\N{COMBINING TILDE}",
}

# The same on nothing. Not on what is before them, where a combining mark would go.
BARE_ACCENTS = {"'": "´", '"': "¨", ".": "˙", "=": "¯", "^": "^", "`": "`", "~": "~"}

# Mathematics that is text, if there is nothing else between the dollars.
MATH_CHARACTERS = "<>|*=+-/.,:;()[]!?0123456789 "
MATH_SYMBOLS = {
    "#": "#", "%": "%", "&": "&", "_": "_", "backslash": "\\", "bullet": "•", "cdot": "·", "dag": "†",
    "dagger": "†", "ddag": "‡", "ddagger": "‡", "dots": "…", "gt": ">", "ldots": "…", "lt": "<", "mid": "|",
    "pm": "±", "rightarrow": "→", "sim": "~", "times": "×", "to": "→", "{": "{", "}": "}",
}


def _with(bit: int) -> Callable[[int], int]:
    return lambda style: style | bit


def _emphatic(style: int) -> int:
    return style ^ EMPHASIS  # within emphasis it is upright


def _plain(style: int) -> int:
    return 0


def _same(style: int) -> int:
    return style


# Switches: how the rest of the group looks. Sizes are layout, and so is sans serif.
SWITCHES: dict[str, Callable[[int], int]] = {
    "bf": _with(STRONG), "bfseries": _with(STRONG), "em": _emphatic, "it": _with(EMPHASIS),
    "itshape": _with(EMPHASIS), "mdseries": _same, "normalfont": _plain, "rm": _plain, "rmfamily": _same,
    "sc": _same, "scshape": _same, "sf": _same, "sffamily": _same, "sl": _with(EMPHASIS),
    "slshape": _with(EMPHASIS), "tt": _with(LITERAL), "ttfamily": _with(LITERAL), "upshape": _same,
    "tiny": _same, "scriptsize": _same, "footnotesize": _same, "small": _same, "normalsize": _same,
    "large": _same, "Large": _same, "LARGE": _same, "huge": _same, "Huge": _same,
}

# Macros whose argument is text in a style.
STYLES: dict[str, Callable[[int], int]] = {
    "emph": _emphatic, "textbf": _with(STRONG), "textit": _with(EMPHASIS), "textmd": _same, "textnormal": _plain,
    "textrm": _same, "textsc": _same, "textsf": _same, "textsl": _with(EMPHASIS), "texttt": _with(LITERAL),
    "textup": _same, "underline": _with(EMPHASIS), "uline": _with(EMPHASIS),
}

# Macros whose last argument is text like any other; the others are layout.
BOXES = {
    "fbox": "{", "framebox": "[[{", "makebox": "[[{", "mbox": "{", "raisebox": "{[[{",
    "resizebox": "*{{{", "rotatebox": "[{{", "scalebox": "{[{",
}
# The same on lines of their own.
LINES = {"author": "{", "centerline": "{", "date": "{", "parbox": "[[[{{"}
# Environments whose content is text like any other.
CONTAINERS = {
    "abstract": "", "center": "", "document": "", "flushleft": "", "flushright": "", "landscape": "",
    "latexonly": "", "minipage": "[[[{", "sloppypar": "", "titlepage": "",
    "tiny": "", "scriptsize": "", "footnotesize": "", "small": "", "normalsize": "",
    "large": "", "Large": "", "LARGE": "", "huge": "", "Huge": "",
}

# Told to the typesetter only, so dropped with their arguments. "=" is a length or a number; that of a box can be there
# or not, and the group behind it is text like any other.
LAYOUT = {
    "!": "", "-": "", "/": "", "@": "", "addcontentsline": "{{{", "addtocontents": "{{", "addtocounter": "{{",
    "addtolength": "{{", "allowbreak": "", "baselineskip": "=", "baselinestretch": "", "batchmode": "",
    "bibliographystyle": "{", "bottommargin": "=", "centering": "", "clubpenalty": "=", "cleardoublepage": "",
    "columnsep": "=", "documentclass": "[{", "documentstyle": "[{", "evensidemargin": "=", "fancyfoot": "[{",
    "fancyhead": "[{", "fancyhf": "{", "fancypagestyle": "{{", "flushbottom": "", "footskip": "=",
    "frenchspacing": "", "fussy": "", "graphicspath": "{",
    "headheight": "=", "headsep": "=", "hbox": "=", "hfuzz": "=", "hyphenation": "{", "hyphenpenalty": "=",
    "ignorespaces": "", "includeonly": "{", "indent": "", "leavevmode": "", "leftmargin": "=", "linewidth": "=",
    "maketitle": "", "markboth": "{{", "markright": "{", "newblock": "", "newcounter": "{[", "newlength": "{",
    "nobreak": "", "nocite": "{", "noindent": "", "nolinebreak": "[", "nonfrenchspacing": "", "nopagebreak": "[",
    "null": "", "oddsidemargin": "=", "onecolumn": "", "pagebreak": "[", "pagenumbering": "{", "pagestyle": "{",
    "parindent": "=", "parskip": "=", "phantom": "{", "phantomsection": "", "printindex": "", "protect": "",
    "raggedbottom": "", "raggedleft": "", "raggedright": "", "refstepcounter": "{", "relax": "", "rule": "[{{",
    "selectfont": "", "setcounter": "{{", "setlength": "{{", "setstretch": "{", "settowidth": "{{",
    "singlespacing": "", "sloppy": "", "stepcounter": "{", "strut": "", "tableofcontents": "", "tabcolsep": "=",
    "textheight": "=", "textwidth": "=", "thispagestyle": "{", "tolerance": "=", "topmargin": "=",
    "topskip": "=", "twocolumn": "[", "unskip": "", "vspace": "*{", "widowpenalty": "=",
    "appendix": "", "backmatter": "", "frontmatter": "", "listoffigures": "", "listoftables": "",
    "mainmatter": "", "makeindex": "", "doublespacing": "", "hypersetup": "{", "pdfinfo": "{", "vbox": "=",
    "vfuzz": "=", "vtop": "=",
}
# The same, and the paragraph ends there.
PARAGRAPH_ENDS = {
    "bigskip": "", "bigbreak": "", "clearpage": "", "hrule": "", "hrulefill": "", "medskip": "", "medbreak": "",
    "newpage": "", "par": "", "smallskip": "", "smallbreak": "", "vfil": "", "vfill": "", "vskip": "=",
}
# Rules and marks between the rows of a table. Those of HEAD_ENDS stand behind its head.
RULES = {
    "bottomrule": "", "cline": "{", "endfoot": "", "endlastfoot": "", "hline": "", "midrule": "", "toprule": "",
}
HEAD_ENDS = {"endfirsthead": "", "endhead": ""}
ROW_ENDS = {"\\": "*[", "cr": "", "tabularnewline": "["}

# Not part of the text, though it may have words: dropped, and reported.
LEFT_OUT = {"glossary": "{", "htmladdimg": "{", "index": "{"}
LEFT_OUT_ENVIRONMENTS = ("comment", "htmlonly", "rawhtml")


# Macros that become something. Arguments are counted from 0.


def _heading(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.heading(node, flow)


def _package(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    """For the typesetter; but in another encoding than is read here, every letter would be a wrong one."""
    if reader.words(node, 1) == "inputenc" and reader.argument(node, 0):
        reader.check_encoding(reader.words(node, 0), node.pos)


def _title(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.title = reader.inlines(reader.argument(node, 0), 0)


def _item(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.misplaced(node, flow, style)


def _break(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    flow.add(Break(), node.pos)


def _today(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    flow.add(Today(style & ~LITERAL), node.pos)


def _footnote(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    if blocks := reader.blocks(reader.argument(node, -1), 0):
        flow.add(Footnote(blocks), node.pos)


def _label(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.label(reader.words(node, 0), node.pos)


def _reference(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    flow.add(reader.reference(reader.words(node, 0), node.pos, style & ~LITERAL), node.pos)


def _page_reference(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.report(node.pos, "a page number becomes what is on the page")
    _reference(reader, node, flow, style)


def _citation(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    style &= ~LITERAL
    flow.text("[", style, node.pos)
    for number, key in enumerate(reader.words(node, 1).split(",")):
        flow.text(", " if number else "", style, node.pos)
        flow.add(reader.reference(key.strip(), node.pos, style, reader.cited), node.pos)
    if note := reader.argument(node, 0):
        flow.text(", ", style, node.pos)
        reader.walk(note, flow, style)
    flow.text("]", style, node.pos)


def _verb(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    text, start = reader.raw(node)
    flow.text(reader.repair(text, start), style | LITERAL, start)


def _path(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    text, start = reader.raw(node)
    reader.find_fixme(start, text)
    flow.text(text, style | LITERAL, start)


def _url(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    text, start = reader.raw(node)
    reader.link("".join(text.split()), None, flow, style, start)


def _href(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.link(reader.words(node, 0), reader.argument(node, 1), flow, style, node.pos)


def _html_link(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.link(reader.words(node, 1), reader.argument(node, 0), flow, style, node.pos)


def _image(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.image(reader.words(node, -1), flow, style, node.pos)


def _caption(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.caption(node, flow, style)


def _mathematics(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.formula(reader.words(node, 0), flow, style, node.pos)


def _column_span(reader: Reader, node: LatexMacroNode, flow: Flow, style: int) -> None:
    reader.walk(reader.argument(node, -1), flow, style)


MACROS: dict[str, tuple[str, Callable[[Reader, LatexMacroNode, Flow, int], None]]] = {
    **{name: ("*[{", _heading) for name in HEADINGS},
    **{name: (signs, _break) for name, signs in ROW_ENDS.items()},
    "and": ("", _break),
    "bibitem": ("[{", _item),
    "caption": ("*[{", _caption),
    "cite": ("[{", _citation),
    "ensuremath": ("{", _mathematics),
    "footnote": ("[{", _footnote),
    "href": ("{{", _href),
    "htmladdnormallink": ("{{", _html_link),
    "includegraphics": ("*[[{", _image),
    "item": ("[", _item),
    "label": ("{", _label),
    "linebreak": ("[", _break),
    "multicolumn": ("{{{", _column_span),
    "multirow": ("{{{", _column_span),
    "newline": ("", _break),
    "pageref": ("{", _page_reference),
    "path": ("raw", _path),
    "ref": ("{", _reference),
    "thanks": ("{", _footnote),
    "title": ("{", _title),
    "today": ("", _today),
    "url": ("raw", _url),
    "usepackage": ("[{", _package),
    "verb": ("raw", _verb),
}


# Environments that become something.


def _list(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    kind = {"list": "itemize", "trivlist": "itemize"}.get(node.environmentname, node.environmentname)
    flow.block(ItemList(kind, reader.items(node, "item", style)))


def _bibliography(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    reader.bibliography_heading(node, flow)
    flow.block(ItemList("description", reader.items(node, "bibitem", style)))


def _quote(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    """A quotation of nothing but code was made to set the code off, which a block of code is anyway."""
    blocks = reader.blocks(node.nodelist, style)
    if code := reader.code_of(blocks):
        blocks = code
    else:
        blocks = [Quote(blocks)] if blocks else []
    for block in blocks:
        flow.block(block)


def _code(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    text, start = reader.raw(node)
    flow.block(reader.code(text, start, node.environmentname))


def _float(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    kind = node.environmentname.rstrip("*")
    reader.float_(kind, lambda inner: reader.walk(node.nodelist, inner, style), flow)


def _table(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    table = reader.table(node, style)
    cells = [cell for row in table.rows for cell in row]
    if reader.in_table:  # not all formats can show a table within a table
        for block in (block for cell in cells for block in cell):
            flow.block(block)
    elif len(cells) > len(table.rows) or any(len(c) != 1 or not isinstance(c[0], Paragraph) for c in cells):
        flow.block(table)
    elif cells:  # one column is no table: it was made to set lines below each other
        lines = [inline for (paragraph,) in cells for inline in (Break(), *paragraph.inlines)]
        flow.block(Paragraph(lines[1:], cells[0][0].place))


def _long_table(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    reader.float_("table", lambda inner: _table(reader, node, inner, style), flow)


def _equation(reader: Reader, node: LatexEnvironmentNode, flow: Flow, style: int) -> None:
    reader.equation(reader.inside(node), flow, node.pos)


ENVIRONMENTS: dict[str, tuple[str, Callable[[Reader, LatexEnvironmentNode, Flow, int], None]]] = {
    "description": ("", _list),
    "displaymath": ("", _equation),
    "enumerate": ("", _list),
    "equation": ("", _equation),
    "equation*": ("", _equation),
    "figure": ("[", _float),
    "figure*": ("[", _float),
    "itemize": ("", _list),
    "list": ("{{", _list),
    "longtable": ("[{", _long_table),
    "lstlisting": ("raw", _code),
    "quotation": ("", _quote),
    "quote": ("", _quote),
    "table": ("[", _float),
    "table*": ("[", _float),
    "tabular": ("[{", _table),
    "tabular*": ("{[{", _table),
    "thebibliography": ("{", _bibliography),
    "trivlist": ("", _list),
    "Verbatim": ("raw", _code),
    "verbatim": ("raw", _code),
    "verbatim*": ("raw", _code),
    "verse": ("", _quote),
}

# Code that looks like this gets this suffix and this language; the first that fits. A guess, for highlighting.
# As text: they take long to compile, and most manuals get to the first few only.
LANGUAGES = (
    (r"\A\s*#!.*\bpython|^(?:import \w+|from \w+ import |def \w+\(.*\):|class \w+.*:)", ".py", "python"),
    (r"\A\s*#!.*sh\b|^(?:iptables|ip6tables|ifconfig|brctl|route|modprobe) ", ".sh", "sh"),
    (r"\A\s*(?:[\w.@~:/-]*[#$%] ?(?!include|define|if|endif)[a-z./~])", ".txt", "console"),
    (r"\A\s*<(?:\?xml|!DOCTYPE|[A-Za-z][\w:-]*[\s/>])", ".xml", "xml"),
    (r"^(?:--- .*\n\+\+\+ |diff -|Index: )", ".diff", "diff"),
    (r"^\s*#\s*(?:include|define|ifdef|ifndef)\b|^(?:typedef |struct \w+ *\{"
     r"|(?:static |unsigned )?(?:int|long|void|char) \**\w+ *\()", ".c", "c"),
    (r"\A\s*\((?:[\w-]+)[\s()]", ".lisp", "lisp"),
    (r"^\w[\w.-]*: .*\n\t", ".mk", "make"),
    (r"\A(?:\s*(?:#.*)?\n)*\s*[A-Za-z_]\w* *= *(?:[\[\"'\d]|None\b|True\b|False\b)", ".py", "python"),
    (r"^\[[\w .-]+\]\s*$", ".ini", "ini"),
)
NO_LANGUAGE = (".txt", "text")


def accented(letter: str, mark: str) -> str:
    """A letter with a combining mark, as one character if there is one."""
    bare = {"ı": "i", "ȷ": "j"}.get(letter, letter)  # a mark takes the place of the dot
    return unicodedata.normalize("NFC", bare[:1] + mark + bare[1:])
