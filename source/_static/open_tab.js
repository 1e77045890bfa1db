// SPDX-License-Identifier: MIT
/* Opens the tab that the address of the page points into; sphinx-tabs leaves it closed. */
"use strict";

function openTab() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const panel = target && target.closest(".sphinx-tabs-panel[hidden]");
  if (panel) {
    document.getElementById(panel.getAttribute("aria-labelledby")).click();
    target.scrollIntoView();
  }
}

window.addEventListener("hashchange", openTab);
window.addEventListener("load", openTab);
