// SPDX-License-Identifier: MIT
/* Sphinx's search leaves numbers out of a query; a port is what somebody looks for here. */
"use strict";

const parseWithoutNumbers = Search._parseQuery;

Search._parseQuery = (query) => {
  const parsed = parseWithoutNumbers(query);
  const [, terms, , highlighted] = parsed;
  for (const number of splitQuery(query).filter((word) => /^[0-9]+$/.test(word))) {
    terms.add(number);
    highlighted.add(number);
  }
  return parsed;
};
