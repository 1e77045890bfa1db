// SPDX-License-Identifier: MIT
/* Puts the reader's values into the commands and files of the page, where the build has marked their places.

   They are kept in this browser, and are sent nowhere. A link can bring some, in its fragment, which no server sees.
   That is text from a stranger, which somebody will paste as root: what does not pass the check is dropped, and what
   passes is kept only once the reader has accepted it; until then it says above each block where it comes from.
   Whatever is shown is set as text, never as HTML. */
"use strict";

/* ---- The check: what check_values.py takes, and a little less. Each function returns the reason, or "". ---- */

const BITS = { 4: 32, 6: 128 };
const EXAMPLE = { 4: "192.168.1.0/24", 6: "2001:db8:1::/64" };
const HUGE = 65536n;

/* The text in quotes, short enough to read, in which an odd character can be seen. */
function quoted(text) {
  return JSON.stringify(text.length > 40 ? text.slice(0, 40) + "…" : text);
}

function parts4(text) {
  const parts = text.split(".");
  const good = parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && part < 256);
  return good ? parts : null;
}

function parts6(text) {
  const halves = text.split("::").map((half) => (half ? half.split(":") : []));
  const missing = 8 - halves.flat().length;
  if (halves.length > 2 || (halves.length === 2 ? missing < 1 : missing !== 0)) return null;
  const parts = halves.length === 2 ? [...halves[0], ...Array(missing).fill("0"), ...halves[1]] : halves[0];
  return parts.every((part) => /^[0-9A-Fa-f]{1,4}$/.test(part)) ? parts.map((part) => "0x" + part) : null;
}

/* An address as a number, or null. */
function number(text, version) {
  const parts = version === 4 ? parts4(text) : parts6(text);
  return parts && parts.reduce((sum, part) => (sum << (version === 4 ? 8n : 16n)) + BigInt(part), 0n);
}

function inWords(value, version) {
  const size = version === 4 ? 8n : 16n;
  const parts = [];
  for (let rest = value; parts.length < (version === 4 ? 4 : 8); rest >>= size) {
    parts.unshift((rest & ((1n << size) - 1n)).toString(version === 4 ? 10 : 16));
  }
  if (version === 4) return parts.join(".");
  const zeros = (parts.join(":").match(/\b0(:0)+\b/g) || []).sort((a, b) => b.length - a.length)[0];
  return zeros ? parts.join(":").replace(zeros, "::").replace(/:{3,}/, "::") : parts.join(":");
}

function checkNetwork(text, version) {
  const [base, length, ...more] = text.split("/");
  const value = number(base, version);
  if (value === null && number(base, 10 - version) !== null) {
    return `this is IPv${10 - version}; an IPv${version} network is expected, such as ${EXAMPLE[version]}`;
  }
  if (value !== null && length === undefined) return `no prefix length: write ${base}/${BITS[version]} for this one address`;
  if (value === null || more.length || !/^(0|[1-9][0-9]{0,2})$/.test(length) || length > BITS[version]) {
    return `${quoted(text)} is not a network; one such as ${EXAMPLE[version]} is expected`;
  }
  const size = 1n << BigInt(BITS[version] - length);
  if (version === 4 && size > HUGE) return `that admits ${size.toLocaleString("en")} addresses`;
  if (version === 6 && length < 48) return `that admits ${(size >> 64n).toLocaleString("en")} networks of /64`;
  if (value % size) return `host bits are set: did you mean ${inWords(value - (value % size), version)}/${length}?`;
  return "";
}

function checkAddress(text, version) {
  const value = number(text, version);
  if (value === null) return `${quoted(text)} is not an IPv${version} address`;
  const first = value >> BigInt(BITS[version] - 8);
  const none = version === 4 ? first === 0n || first === 127n || first >= 224n : value < 2n || first === 255n;
  return none ? `${text} is not the address of one host` : "";
}

function checkInterface(text) {
  const good = /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(text) && !text.includes("..");
  return good ? "" : `${quoted(text)} is not the name of an interface`;
}

function checkPort(text) {
  if (!/^[1-9][0-9]{0,4}$/.test(text) || text > 65535) {
    return `${quoted(text)} is not a port; a number from 1 to 65535 is expected`;
  }
  return text === "22" ? "port 22 is that of ssh: the rules would lock you out" : "";
}

/* What is wrong with the value of a parameter, by the kind that its name ends in. */
function check(name, text) {
  const kind = name.split("_").pop();
  const version = kind.endsWith("6") ? 6 : 4;
  if (/^network6?$/.test(kind)) return checkNetwork(text, version);
  if (/^address6?$/.test(kind)) return checkAddress(text, version);
  if (kind === "interface") return checkInterface(text);
  if (kind === "port") return checkPort(text);
  return "no kind of value is known for this name";
}

/* Whether an address is in a network, both of them checked. */
function within(address, network) {
  const version = address.includes(":") ? 6 : 4;
  const [base, length] = network.split("/");
  const shift = BigInt(BITS[version] - length);
  return number(address, version) >> shift === number(base, version) >> shift;
}

/* The pattern of xend's hosts-allow for an IPv4 network or address, as the build writes it. */
function pattern(text) {
  const [base, length] = text.split("/");
  const size = 1n << BigInt(32 - (length ?? 32));
  const first = number(base, 4);
  const [lows, highs] = [first, first + size - 1n].map((value) => inWords(value, 4).split(".").map(Number));
  const parts = lows.map((low, i) => {
    if (low === highs[i]) return String(low);
    if (low === 0 && highs[i] === 255) return "[0-9]+";
    return `(${Array.from({ length: highs[i] - low + 1 }, (_, j) => low + j).join("|")})`;
  });
  return `^${parts.join("\\\\.")}$`;
}

/* The second half of an IPv6 address as a number, as the build writes it. */
function half(text) {
  return "0x" + BigInt.asUintN(64, number(text, 6)).toString(16);
}

const FORMS = { pattern, half };

/* ---- The page ---- */

function start(panel) {
  const STORE = "securing-xen-values";
  const LINK = "#values:";
  const examples = JSON.parse(panel.dataset.parameters);
  const fields = [...panel.querySelectorAll("input")];
  const places = [...document.querySelectorAll("[data-parameter]")];
  const said = panel.querySelector(".values-said");
  let own = {};
  let linked = {};

  function good(values) {
    return Object.fromEntries(Object.entries(values).filter(([name, text]) =>
      Object.hasOwn(examples, name) && typeof text === "string" && check(name, text) === ""));
  }

  function load() {
    try {
      own = good(JSON.parse(localStorage.getItem(STORE)) || {});
    } catch {
      own = {}; // no storage in this browser, or something else in it
    }
  }

  function keep() {
    try {
      localStorage.setItem(STORE, JSON.stringify(own));
    } catch {
      said.textContent = "This browser keeps nothing: the values are gone when you leave the page.";
    }
  }

  function element(name, text, more = {}) {
    return Object.assign(document.createElement(name), { textContent: text }, more);
  }

  function show() {
    const shown = { ...own, ...linked };
    for (const place of places) {
      const name = place.dataset.parameter;
      const text = Object.hasOwn(shown, name) ? shown[name] : examples[name];
      place.textContent = place.dataset.form ? FORMS[place.dataset.form](text) : text;
      place.title = name.replaceAll("_", " ") + (Object.hasOwn(shown, name) ? "" : " (this guide's value)");
      place.classList.toggle("own", Object.hasOwn(shown, name));
      place.classList.toggle("linked", Object.hasOwn(linked, name));
    }
    const names = fields.map((field) => field.name);
    const count = names.filter((name) => Object.hasOwn(own, name)).length;
    panel.querySelector("summary").textContent = [
      "Your values", count && `${count} of ${names.length} on this page are yours`,
      Object.keys(linked).length && "some came with a link",
    ].filter(Boolean).join(": ");
    warn();
    compare({ ...examples, ...shown });
  }

  /* An address that is not in the network of the same name is of somebody else. */
  function compare(all) {
    for (const { name } of fields.filter((field) => field.getAttribute("aria-invalid") !== "true")) {
      const network = name.replace("address", "network");
      const apart = network !== name && Object.hasOwn(all, network) && !within(all[name], all[network]);
      document.getElementById(`reason-${name}`).textContent = apart ? `${all[name]} is not in ${all[network]}` : "";
    }
  }

  function fill() {
    for (const field of fields) {
      field.value = { ...own, ...linked }[field.name] ?? "";
      tell(field, "");
    }
    show();
  }

  function tell(field, reason) {
    document.getElementById(`reason-${field.name}`).textContent = reason;
    field.setAttribute("aria-invalid", String(reason !== ""));
  }

  /* Above each block with values from a link: where they come from. */
  function warn() {
    document.querySelectorAll("p.from-a-link").forEach((notice) => notice.remove());
    const blocks = new Set(places.filter((place) => place.classList.contains("linked"))
      .map((place) => place.closest("[class*='highlight-']") ?? place.closest("p, li, td, dd")));
    for (const block of blocks) {
      const notice = element("p", "Values in here came with a link, and are not accepted: ", { className: "from-a-link" });
      notice.append(element("a", "look at them", { href: "#your-values" }));
      block.before(notice);
    }
  }

  function ask(dropped) {
    panel.querySelector(".asked")?.remove();
    const names = Object.keys(linked);
    if (!names.length && !dropped.length) return;
    const asked = element("div", "", { className: "asked" });
    asked.setAttribute("role", "alert");
    if (names.length) {
      asked.append(element("p", "These values came with a link. Whoever made it chose them: whom do they let in?"));
      const list = element("ul", "");
      names.forEach((name) => list.append(element("li", `${name}: ${linked[name]}`)));
      asked.append(list, element("button", "Accept them", { type: "button", onclick: accept }),
        " ", element("button", "Back to what was here before", { type: "button", onclick: refuse }));
    }
    if (dropped.length) {
      asked.append(element("p", "Dropped from the link, since it is not what is expected there:"));
      const list = element("ul", "");
      dropped.forEach((line) => list.append(element("li", line)));
      asked.append(list);
    }
    panel.querySelector("summary").after(asked);
    panel.open = true;
  }

  function accept() {
    own = { ...own, ...linked };
    keep();
    refuse();
  }

  function refuse() {
    linked = {};
    history.replaceState(null, "", location.pathname + location.search);
    ask([]);
    fill();
  }

  /* Take what a link brings. */
  function follow() {
    if (!location.hash.startsWith(LINK)) return;
    linked = {};
    const dropped = [];
    for (const [name, text] of new URLSearchParams(location.hash.slice(LINK.length))) {
      const reason = Object.hasOwn(examples, name) ? check(name, text) : "no value of this guide has this name";
      if (reason) dropped.push(`${quoted(name)}: ${reason}`);
      else linked[name] = text;
    }
    ask(dropped);
    fill();
    panel.scrollIntoView();
  }

  panel.addEventListener("input", ({ target }) => {
    const { name } = target;
    const text = target.value.trim();
    const reason = text && check(name, text);
    delete linked[name];
    delete own[name];
    if (text && !reason) own[name] = text;
    tell(target, reason && `${reason} (this guide's value stays)`);
    said.textContent = "";
    keep();
    ask([]);
    show();
  });

  panel.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

  panel.querySelector("[name=reset]").addEventListener("click", () => {
    own = {};
    keep();
    refuse();
    said.textContent = "All values are this guide's again.";
  });

  panel.querySelector("[name=share]").addEventListener("click", async () => {
    const link = location.href.split("#")[0] + LINK + new URLSearchParams({ ...own, ...linked });
    try {
      await navigator.clipboard.writeText(link);
      said.textContent = "Copied. Whoever opens it is asked first.";
    } catch {
      said.textContent = link;
    }
  });

  window.addEventListener("hashchange", follow);
  window.addEventListener("storage", ({ key }) => {
    if (key === STORE || key === null) {
      load();
      fill();
    }
  });

  panel.hidden = false;
  load();
  fill();
  follow();
}

const valuesPanel = document.querySelector("details.values");
if (valuesPanel) start(valuesPanel);
