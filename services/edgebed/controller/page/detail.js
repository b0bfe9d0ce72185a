// One experiment: where it is, what came out, how its nodes are, what it left.

import { ahead, ask, askJson, experimentPath, filePath, viewPath } from "./api.js";
import { bar, bytes, chip, count, duration, h, many, milliseconds, moment, percent, put, secondsOf, seriesOf, shareOf, spark, stepWords, streamWords } from "./parts.js";

const REPORT = "report.html";
const WITHIN = /: (the same in the simulator|deploying)$/; // parts of the stage that they name
const SHOWN_PHASES = 12;

/** The view of the experiment `name`; `act` asks for confirmation and does what buttons want. */
export function detailView(name, experiment, act) {
  const state = chip(), facts = h("p", { class: "facts" }), share = h("b"), numbers = h("span", { class: "facts" });
  const progress = bar(`Progress of ${name}`);
  const stop = h("button", { type: "button", class: "quiet", onclick: () => act.stop(name) }, "Stop");
  const resume = h("button", { type: "button", onclick: () => act.resume(name) }, "Resume");
  const report = h("a", { class: "button main", href: viewPath(name, REPORT), target: "_blank", rel: "opener" }, "Open report");
  const failure = h("section", { class: "failure", role: "alert", "aria-label": "Why it failed" });
  const verdict = h("section", { class: "verdict", "aria-label": "Verdict" });
  const phases = h("ol", { class: "phases" }), methods = h("div"), nodes = h("div", { class: "nodes" });
  const nodesPart = part("Nodes", nodes), phasesPart = part("Phases", phases), methodsPart = part("Success rates", methods);
  const punctual = h("section", {}), files = h("ul", { class: "files" }), filesPart = part("Files", files);
  const element = h("article", { class: "detail" },
    h("p", { class: "back" }, h("a", { href: "#/" }, "← All experiments")),
    h("div", { class: "head" }, h("div", {}, h("h1", {}, name), h("p", { class: "states" }, state, facts)),
      h("div", { class: "actions" }, stop, resume, report)),
    h("div", { class: "progress large" }, progress, h("div", { class: "numbers" }, share, numbers)),
    failure, verdict, methodsPart, phasesPart, nodesPart, punctual, filesPart);
  let last = {}, results = null, fetched = "";

  function update(given) {
    last = given;
    const running = given.state === "running", done = shareOf(given);
    element.dataset.state = given.state;
    state.update(given.state);
    progress.update(done, given.state);
    share.textContent = done === null ? "" : `${Math.floor(100 * done)} %`;
    stop.hidden = !running;
    resume.hidden = !["stopped", "failed"].includes(given.state);
    tell(failure, given.state === "failed" && given.reason ? [h("h2", {}, "Why it failed"), ...given.reason.split("\n").map(reasonOf)] : null);
    tell(punctual, lateness(given));
    showPhases(given);
    showMethods(given);
    nodesPart.hidden = !(running && given.nodes && given.nodes.length);
    if (!nodesPart.hidden) put(nodes, ...given.nodes.map(nodeOf));
    tick();
    fetchFiles();
  }

  function tick() {
    const took = duration(secondsOf(last, ahead)), { episodesKnown: known, episodesPlanned: planned } = last;
    put(facts, "started ", moment(last.startedAt), `, ${last.state === "running" ? "running for" : "took"} ${took}`);
    put(numbers, [
      !known && !planned ? "" : planned ? `${count(known)} of ${many(planned, "episode")}` : many(known, "episode"),
      last.remainingSeconds ? `about ${duration(last.remainingSeconds)} of playing left` : "",
    ].filter(Boolean).join(" · "));
  }

  function showPhases(given) {
    const open = given.state === "running" || given.state === "failed" || given.state === "stopped";
    const whole = (given.finishedStages || []).filter((stage) => !WITHIN.test(stage.label));
    const over = whole.slice(-SHOWN_PHASES).map((stage) => h("li", { "data-state": "done" }, h("span", {}, stage.label),
      h("span", { class: "facts" }, [stage.total ? many(stage.total, /offline/.test(stage.label) ? "update" : "episode") : "", duration(stage.seconds)].filter(Boolean).join(" · "))));
    if (whole.length > SHOWN_PHASES) over.unshift(h("li", { "data-state": "done", class: "facts" }, `${many(whole.length - SHOWN_PHASES, "phase")} before`));
    const now = open ? (given.stages || []).map((stage) => {
      const there = bar(stage.label);
      there.update(stage.total ? stage.done / stage.total : null, given.state);
      const said = [stage.total ? `${count(stage.done)} of ${count(stage.total)}` : "", stage.note].filter(Boolean).join(" · ");
      return h("li", { "data-state": given.state === "running" ? "now" : "cut" }, h("span", {}, stage.label), h("span", { class: "facts" }, said), stage.total ? there : null);
    }) : [];
    if (given.state === "running" && !now.length) now.push(h("li", { "data-state": "now" }, h("span", {}, given.step === "Starting" ? "Waiting for the nodes" : `${stepWords(given.step)}…`)));
    phasesPart.hidden = !over.length && !now.length;
    put(phases, ...over, ...now);
  }

  function showMethods(given) {
    const { rows, scale } = seriesOf(given);
    // Of a run whose episodes were not kept, the results know at least the means.
    if (!rows.length) for (const method of results?.order || []) rows.push([method, "evaluate", { successRate: results.methods?.[method]?.successRate.mean, history: [] }]);
    methodsPart.hidden = !rows.length;
    const interval = (method, stream) => {
      const ends = stream === "evaluate" && given.state === "finished" && results?.methods?.[method]?.successRate.ci95SameNetworks;
      return ends && ends[0] !== null ? `${(100 * Math.max(0, ends[0])).toFixed(1)} to ${(100 * Math.min(1, ends[1])).toFixed(1)}` : "";
    };
    const intervals = rows.some(([method, stream]) => interval(method, stream));
    put(methods, h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ...["method", "in time", intervals ? "95 %" : null, "episodes", "each of the latest"].filter((x) => x !== null).map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...rows.map(([method, stream, series]) => h("tr", {},
        h("th", { scope: "row" }, method, h("span", { class: "kind" }, streamWords[stream] || stream)),
        h("td", { class: "rate" }, percent(series.successRate)),
        intervals ? h("td", {}, interval(method, stream)) : null,
        h("td", {}, series.episodes ? count(series.episodes) : ""),
        h("td", { class: "wide" }, spark(series.history.slice(-200), { ...scale, width: 240, height: 34, label: `${method}: ` }))))))),
      scale.high > scale.low ? h("p", { class: "facts" }, `Lines from ${percent(scale.low)} to ${percent(scale.high)}, the same for all.`) : null);
  }

  // What the experiment left is asked for when it begins and when it ends.
  async function fetchFiles() {
    const now = `${last.state} ${last.startedAt} ${last.endedAt}`;
    if (now === fetched) return;
    fetched = now;
    try {
      const { files: there } = await askJson(experimentPath(name, "/files"));
      const finished = last.state === "finished";
      report.hidden = !(finished && there.some((file) => file.name === REPORT));
      filesPart.hidden = !there.length;
      put(files, ...there.map((file) => fileOf(file)));
      results = finished && there.some((file) => file.name === "results.json") ? await askJson(filePath(name, "results.json")) : null;
      tell(verdict, results?.verdict ? [h("p", { class: "first" }, results.verdict[0]), h("ul", {}, ...results.verdict.slice(1).map((text) => h("li", {}, text)))] : null);
      showMethods(last);
    } catch {
      fetched = ""; // asked for again with the next news
    }
  }

  function fileOf(file) {
    const save = h("button", { type: "button", class: "quiet small", "aria-label": `Save ${file.name}`, onclick: () => saveFile(name, file.name) }, "Save");
    return h("li", {}, h("a", { href: viewPath(name, file.name), target: "_blank", rel: "opener" }, file.name), h("span", { class: "facts" }, bytes(file.bytes)), save);
  }

  report.hidden = true;
  update(experiment);
  return { element, update: (given) => { if (given.name === name) update(given); }, tick, title: name };
}

/** Fetched with the token, then handed to the browser as a download. */
export async function saveFile(name, file) {
  const url = URL.createObjectURL(await (await ask(filePath(name, file))).blob());
  h("a", { href: url, download: `${name}-${file.split("/").pop()}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

function part(title, content) {
  return h("section", {}, h("h2", {}, title), content);
}

/** Shows a section with these children, or hides it. */
function tell(section, children) {
  section.hidden = !children;
  const text = (children || []).map((child) => child.textContent).join("\n");
  if (section.textContent !== text || !children) put(section, ...(children || [])); // an alert is read aloud once
}

/** A reason has the form: what happened; what to do. */
function reasonOf(line) {
  const at = line.indexOf("; ");
  return at < 0 ? h("p", {}, line) : h("p", {}, line.slice(0, at), h("span", { class: "remedy" }, line.slice(at + 2)));
}

function lateness(given) {
  const late = given.slotLatenessSeconds || {};
  if (late.p99 === null || late.p99 === undefined) return null;
  const episodes = many(given.lateEpisodes, "episode");
  return [
    h("h2", {}, "Punctuality"),
    h("p", { class: given.reliable ? "good" : "bad" }, given.reliable ? "Every slot began in time: the testbed kept up." : `${episodes} had a slot that began too late: this machine was too busy, and their figures deserve doubt.`),
    h("p", { class: "facts" }, `Slots began ${milliseconds(late.p50)} late in the median, 99 % of them at most ${milliseconds(late.p99)}, the latest ${milliseconds(late.max)}.`,
      given.lostTasks ? ` ${many(given.lostTasks, "task")} went away with lost nodes.` : ""),
  ];
}

function nodeOf(node) {
  if (node.lost) return h("div", { class: "node", "data-state": "lost" }, h("b", {}, `Node ${node.node}`), h("span", { class: "facts" }, `lost: ${node.lost}`));
  const links = node.waitingTo || [], queued = links.reduce((sum, n) => sum + n, 0), waiting = node.waiting || 0;
  const meter = (label, value, of) => {
    const made = h("div", { class: "meter" }, h("span", {}, label), h("div", { class: "pips", "aria-hidden": "true" }, h("div")), h("b", {}, String(value)));
    made.querySelector(".pips div").style.width = `${Math.min(100, (100 * value) / of)}%`;
    return made;
  };
  return h("div", { class: "node", "data-state": node.executing ? "busy" : "idle" },
    h("div", { class: "node-head" }, h("b", {}, `Node ${node.node}`), h("span", { class: "facts" }, node.executing ? "executing" : "idle")),
    meter("waits here", waiting, 10), meter("waits for links", queued, 10), meter("being sent", node.sending || 0, Math.max(1, links.length - 1)),
    h("span", { class: "facts" }, [node.scheduler, node.modelVersion ? `version ${node.modelVersion}` : ""].filter(Boolean).join(", ")));
}
