// A new experiment: its YAML, pasted, dropped or chosen, and what the controller finds wrong with it, line by line.

import { askJson, Refused } from "./api.js";
import { h, many, put } from "./parts.js";

const LARGEST = 4 * 1024 * 1024;
const HINT = `apiVersion: edgebed.dev/v1alpha1
kind: Experiment
metadata: {name: my-first}
spec:
  backend: processes
  …`;

/** Posts a document; resolves with the experiment, rejects with Refused. */
export function post(text, folder) {
  const query = folder === undefined ? "" : `?${new URLSearchParams({ folder })}`;
  return askJson(`/v1/experiments${query}`, { method: "POST", headers: { "Content-Type": "application/yaml" }, body: text });
}

/** The view; `began` is told the experiment that the controller took. */
export function submitView(began) {
  const text = h("textarea", { id: "document", spellcheck: "false", autocapitalize: "off", wrap: "off", placeholder: HINT, "aria-describedby": "problems" });
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  const problems = h("div", { id: "problems", role: "alert" });
  const start = h("button", { class: "main", type: "submit" }, "Start");
  const file = h("input", { type: "file", id: "file", accept: ".yaml,.yml,application/yaml", class: "unseen", onchange: () => file.files[0] && load(file.files[0]) });
  const form = h("form", { class: "submit", onsubmit: send },
    h("p", { class: "back" }, h("a", { href: "#/" }, "← All experiments")),
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "New experiment"), h("p", { class: "facts" }, "Paste the YAML, drop a file on this page, or choose one. Nothing starts before everything is right.")),
      h("div", { class: "actions" }, file, h("label", { for: "file", class: "button" }, "Choose a file"), start)),
    h("label", { for: "document", class: "unseen" }, "The experiment as YAML"),
    problems, h("div", { class: "editor" }, gutter, text));
  let wrong = new Map();

  function number() {
    const lines = text.value.split("\n").length;
    put(gutter, ...Array.from({ length: lines }, (_, i) => h("span", { class: wrong.has(i + 1) ? "wrong" : null, title: wrong.get(i + 1) }, String(i + 1))));
    gutter.scrollTop = text.scrollTop;
  }

  function show(error) {
    const found = error.problems?.length ? error.problems : [{ line: null, path: "", found: error.message, remedy: "" }];
    wrong = new Map(found.filter((one) => one.line).map((one) => [one.line, one.found]));
    const title = error.problems?.length ? `${many(found.length, "thing")} to put right` : error.title || "The controller did not take it";
    put(problems, h("h2", {}, title), h("ul", { class: "problems" }, ...found.map((one) => h("li", {},
      one.line ? h("button", { type: "button", class: "line", onclick: () => go(one.line) }, `line ${one.line}`) : null,
      h("div", {}, one.path ? h("code", {}, one.path) : null, " ", h("span", {}, one.found), " ", one.remedy ? h("span", { class: "remedy" }, one.remedy) : null)))));
    number();
    const first = Math.min(...wrong.keys());
    if (first < Infinity) scrollTo(first);
  }

  const scrollTo = (line) => { text.scrollTop = (line - 4) * parseFloat(getComputedStyle(text).lineHeight); };

  function go(line) {
    const lines = text.value.split("\n");
    const begin = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    text.focus();
    text.setSelectionRange(begin, begin + (lines[line - 1] ?? "").length);
    scrollTo(line);
  }

  async function load(given) {
    if (given.size > LARGEST) return show(new Error(`${given.name} is too large for an experiment`));
    text.value = await given.text();
    file.value = "";
    clear();
  }

  function clear() {
    wrong = new Map();
    put(problems);
    number();
  }

  async function send(event) {
    event.preventDefault();
    if (!text.value.trim()) return text.focus();
    start.disabled = true;
    try {
      began(await post(text.value));
    } catch (error) {
      show(error instanceof Refused ? error : new Error("The controller does not answer; try again."));
    } finally {
      start.disabled = false;
    }
  }

  text.addEventListener("input", () => { if (wrong.size) clear(); else number(); });
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  number();
  return { element: form, update() {}, tick() {}, title: "New experiment", load, focus: () => text.focus() };
}
