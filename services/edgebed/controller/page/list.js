// All experiments: those that run first, then the latest. A row asks for its details when it comes into sight.

import { ahead, askJson, experimentPath } from "./api.js";
import { bar, chip, count, duration, h, many, moment, percent, put, secondsOf, seriesOf, shareOf, spark, stepWords } from "./parts.js";

const FILTER_FROM = 8;
const SHOWN_METHODS = 8;

/** The view; `known` maps names to documents, some of them only their summaries. */
export function listView(known, tell) {
  const rows = new Map();
  const list = h("ul", { class: "experiments", "aria-label": "Experiments" });
  const filter = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", oninput: () => order() });
  const summary = h("p", { class: "facts" });
  const head = h("div", { class: "head" }, h("div", {}, h("h1", {}, "Experiments"), summary), filter);
  const empty = h("div", { class: "empty" },
    h("p", {}, "No experiment has been run here yet."),
    h("p", { class: "hint" }, "Drop a YAML file anywhere on this page, or ", h("a", { href: "#/new" }, "write one"), "."));
  const element = h("div", {}, head, empty, list);
  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      const name = entry.target.dataset.name;
      sight.unobserve(entry.target);
      if (!known.get(name).methods) askJson(experimentPath(name)).then(tell).catch(() => {});
    }
  });

  function order() {
    const wanted = filter.value.trim().toLowerCase();
    const all = [...known.values()];
    const runs = (one) => (one.state === "running" ? 1 : 0);
    all.sort((a, b) => runs(b) - runs(a) || (b.startedAt || "").localeCompare(a.startedAt || "") || a.name.localeCompare(b.name));
    const shown = all.filter((one) => one.name.toLowerCase().includes(wanted)).map((one) => rows.get(one.name).element);
    // Only what is out of place is moved, so that whoever has the focus keeps it.
    shown.forEach((row, i) => { if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null); });
    while (list.children.length > shown.length) list.lastElementChild.remove();
    const running = all.filter(runs).length;
    summary.textContent = all.length ? `${many(all.length, "experiment")}, ${running ? `${running} running` : "none running"}` : "";
    filter.hidden = all.length < FILTER_FROM;
    empty.hidden = all.length > 0;
  }

  function update(experiment) {
    show(experiment);
    order();
  }

  function show(experiment) {
    if (!rows.has(experiment.name)) rows.set(experiment.name, makeRow(experiment.name));
    const row = rows.get(experiment.name);
    row.update(experiment);
    if (!experiment.methods) sight.observe(row.element);
  }

  for (const experiment of known.values()) show(experiment);
  order();
  return { element, update, tick: () => rows.forEach((row) => row.tick()), title: "Experiments", close: () => sight.disconnect() };
}

function makeRow(name) {
  const state = chip();
  const phase = h("span", { class: "phase" });
  const progress = bar(`Progress of ${name}`);
  const share = h("span", { class: "share" });
  const episodes = h("span", {});
  const left = h("span", {});
  const methods = h("ul", { class: "methods", "aria-label": "Success rates" });
  const when = h("span", {});
  const took = h("span", { class: "took" });
  const reason = h("p", { class: "reason" });
  const element = h("li", { class: "experiment", "data-name": name },
    h("div", { class: "name" }, h("h2", {}, h("a", { href: `#/experiments/${encodeURIComponent(name)}` }, name)), state, phase),
    h("div", { class: "times facts" }, when, took),
    h("div", { class: "progress" }, progress, h("div", { class: "facts numbers" }, share, episodes, left)),
    reason, methods);
  let last = {};

  function tick() {
    took.textContent = duration(secondsOf(last, ahead));
  }

  function update(experiment) {
    last = experiment;
    element.dataset.state = experiment.state;
    state.update(experiment.state);
    phase.textContent = experiment.state === "running" ? experiment.phase || stepWords(experiment.step) : "";
    const done = shareOf(experiment);
    progress.update(done, experiment.state);
    share.textContent = done === null ? "" : `${Math.floor(100 * done)} %`;
    const { episodesKnown: known, episodesPlanned: planned } = experiment;
    episodes.textContent = !known && !planned ? "" : planned ? `${count(known)} of ${many(planned, "episode")}` : many(known, "episode");
    left.textContent = experiment.remainingSeconds ? `about ${duration(experiment.remainingSeconds)} left` : "";
    reason.textContent = experiment.state === "failed" ? experiment.reason || "" : "";
    put(when, moment(experiment.startedAt));
    const { rows, scale } = seriesOf(experiment);
    const best = [...new Map(rows.map((row) => [row[0], row]).reverse()).values()].reverse();
    put(methods, ...best.slice(0, SHOWN_METHODS).map(([method, stream, series]) =>
      h("li", { title: `${method}, ${many(series.episodes, "episode")} of ${stream}` },
        h("span", { class: "method" }, method), h("b", {}, percent(series.successRate)), spark(series.history.slice(-60), { ...scale, width: 72, height: 20 }))),
      best.length > SHOWN_METHODS ? h("li", { class: "facts" }, `and ${best.length - SHOWN_METHODS} more`) : null);
    tick();
  }

  return { element, update, tick };
}
