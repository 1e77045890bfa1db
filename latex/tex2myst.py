# SPDX-License-Identifier: MIT
"""Convert a LaTeX manual to MyST pages: ``python latex/tex2myst.py INPUT.tex OUT/``.

OUT/index.md is the root, headings begin pages of their own, and each verbatim block
is a file under OUT/code/ that its page shows with literalinclude. Sphinx builds the
pages with myst_parser alone; this is all that conf.py needs:

  extensions = ["myst_parser"]
  myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
  numfig = True

The text is kept word for word, and code byte for byte, except that -{}- in verbatim
becomes --: it is how text writes two hyphens that TeX must not join, and it is wrong
in verbatim. On stderr there is a line for each repair, each FIXME, each picture that
is not there (its name takes its place), each label that nothing has (it becomes text)
each file read as Latin-1 and whatever is left out on purpose: FILE:LINE: MESSAGE: the line as it stands there.

Definitions are carried out, and files that are included are read. A macro or an
environment that is not known is an error: FILE:LINE:COLUMN: MESSAGE, exit status 2,
and nothing is written. OUT is written whole or not at all, and only where there is
nothing that this program did not write.
"""
from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # this file is run as a program, too

from latex.converter import folder, myst, reading, source, tables  # noqa: E402
from latex.converter.document import Document  # noqa: E402
from latex.converter.source import TexError  # noqa: E402


def read(path: os.PathLike | str, root: str | None = None, keep_unknown: bool = False) -> Document:
    """Read a LaTeX manual; ``root`` is where the files that it includes are, if not beside it.

    Raises OSError if it cannot be opened, TexError if it is not LaTeX, or holds what the tables do not name.
    """
    path = os.fspath(path)
    return reading.read(source.load(path, root, tables.FIXED), path, root, keep_unknown)


def parse(text: str, name: str) -> Document:
    """Read LaTeX text; ``name`` is the file it came from. Raises TexError as read() does."""
    return reading.read(source.from_text(text, name, tables.FIXED), name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    summary, details = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        prog="tex2myst", description=summary.split(":")[0] + ".", epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="INPUT.tex", help="the LaTeX file, in UTF-8 or Latin-1")
    parser.add_argument("out", metavar="OUT", help="the folder to write")
    parser.add_argument("--split", metavar="LEVEL", default="section", choices=[*tables.HEADINGS, "none"],
                        help="headings down to this one begin a page: %(choices)s (%(default)s, if not given)")
    parser.add_argument("--root", metavar="FOLDER",
                        help="where files that INPUT names are (its own folder, if not given)")
    parser.add_argument("--keep-unknown", action="store_true",
                        help="keep macros and environments that are not known as they stand, and report them")
    options = parser.parse_args(arguments)
    try:
        document = read(options.input, options.root, options.keep_unknown)
        folder.write(myst.render(document, options.split), options.out)
    except OSError as error:
        print(f"{error.filename or options.out}: {error.strerror}", file=sys.stderr)
        return 2
    except (TexError, folder.OutputError) as error:
        print(error, file=sys.stderr)
        return 2
    for report in document.reports:
        print(report, file=sys.stderr)
    return 0


if __name__ == "__main__":
    gc.disable()  # nothing here is worth collecting before the end, and looking for it takes a third of the time
    sys.exit(main())
