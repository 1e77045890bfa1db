// SPDX-License-Identifier: MIT
/* Tabs, in place of the script of the same name that sphinx-tabs brings: that one knows two keys of a keyboard, keeps one
   choice for one visit, and leaves the tab closed that the address of the page points into. */
"use strict";

const KEPT = "securing-xen-tabs"; // the labels that were chosen, the last one first

function kept() {
  try {
    const labels = JSON.parse(localStorage.getItem(KEPT));
    return Array.isArray(labels) ? labels : [];
  } catch {
    return []; // no storage in this browser, or something else in it
  }
}

function tabsOf(list) {
  return [...list.querySelectorAll("[role=tab]")];
}

function select(chosen) {
  for (const tab of tabsOf(chosen.parentNode)) {
    const is = tab === chosen;
    tab.setAttribute("aria-selected", String(is));
    tab.tabIndex = is ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).toggleAttribute("hidden", !is);
  }
}

/* Select a tab and all of its name on the page, keep the choice, and leave the tab where it is on the screen. */
function choose(chosen) {
  const before = chosen.getBoundingClientRect().top;
  const label = chosen.textContent;
  select(chosen);
  document.querySelectorAll("[role=tablist]").forEach((list) => {
    const same = tabsOf(list).find((tab) => tab.textContent === label);
    if (same && list !== chosen.parentNode) select(same);
  });
  // At once: the pages scroll smoothly, and meanwhile the tab would be elsewhere.
  window.scrollBy({ top: chosen.getBoundingClientRect().top - before, behavior: "instant" });
  const others = tabsOf(chosen.parentNode).map((tab) => tab.textContent);
  try {
    localStorage.setItem(KEPT, JSON.stringify([label, ...kept().filter((other) => !others.includes(other))]));
  } catch {
    // Then the choice holds for this page.
  }
}

function onKey(event) {
  const tabs = tabsOf(event.currentTarget);
  const at = tabs.indexOf(event.target);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (next === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const tab = tabs.at(next % tabs.length);
  choose(tab);
  tab.focus();
}

/* Open the tabs that the address of the page points into. */
function openTarget() {
  const target = document.getElementById(decoded(location.hash.slice(1)));
  let panel = target?.closest(".sphinx-tabs-panel");
  if (!panel) return;
  for (; panel; panel = panel.parentNode.closest(".sphinx-tabs-panel")) {
    select(document.getElementById(panel.getAttribute("aria-labelledby")));
  }
  target.scrollIntoView();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

document.querySelectorAll("[role=tablist]").forEach((list) => {
  const tabs = tabsOf(list);
  const chosen = kept().map((label) => tabs.find((tab) => tab.textContent === label)).find(Boolean);
  if (chosen) select(chosen);
  list.addEventListener("click", ({ target }) => target.closest("[role=tab]") && choose(target.closest("[role=tab]")));
  list.addEventListener("keydown", onKey);
});
openTarget();
window.addEventListener("hashchange", openTarget);
