# SPDX-License-Identifier: MIT
"""Numbers in the index of the search: Sphinx leaves them out, and ``8002`` is what somebody looks for here.

The search page leaves them out of a query, too; ``search_numbers.js`` puts them back.
"""
from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish
from sphinx.util.typing import ExtensionMetadata


class SearchWithNumbers(SearchEnglish):
    """Sphinx's search in English, with numbers of two digits at least."""

    def word_filter(self, word: str) -> bool:
        return word not in self.stopwords and not (len(word) == 1 and word.isdigit())


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_search_language(SearchWithNumbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
