// Elements, bars and spark lines, and words for numbers. Everything that comes from elsewhere goes in as text.

const SVG = "http://www.w3.org/2000/svg";

/** h("a", {class: "x", href, onclick}, "text", child, ...): an element. */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const put = (element, ...children) => element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));

export const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`);
export const count = (number) => Number(number).toLocaleString("en", { maximumFractionDigits: 0 });
export const many = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const bytes = (n) => (n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(0)} KB` : `${(n / 1048576).toFixed(1)} MB`);
export const milliseconds = (seconds) => (seconds === null || seconds === undefined ? "–" : `${(1000 * seconds).toFixed(1)} ms`);

export function moment(text) {
  if (!text) return h("span", {}, "–");
  const when = new Date(text);
  const today = when.toDateString() === new Date().toDateString();
  const shown = when.toLocaleString("en-GB", { ...(today ? {} : { day: "numeric", month: "short" }), hour: "2-digit", minute: "2-digit" });
  return h("time", { datetime: text, title: when.toLocaleString() }, today ? `today ${shown}` : shown);
}

/** How much of an experiment is done, from 0 to 1; null when that is not known. */
export function shareOf(experiment) {
  if (experiment.state === "finished") return 1;
  const { episodesKnown: known, episodesPlanned: planned } = experiment;
  return planned ? Math.min(0.99, known / planned) : null;
}

export function bar(label) {
  const made = h("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, h("div"));
  made.update = (share, state) => {
    made.dataset.state = state;
    if (share === null) made.removeAttribute("aria-valuenow");
    else made.setAttribute("aria-valuenow", Math.round(100 * share));
    made.firstChild.style.width = `${100 * (share ?? 0)}%`;
  };
  return made;
}

export function chip() {
  const made = h("span", { class: "chip" });
  made.update = (state) => {
    made.dataset.state = state;
    made.textContent = state;
  };
  return made;
}

/** Steps (controller/steps.py) in the words of the page. */
export const stepWords = (step) => ({ FineTuning: "Fine-tuning", Succeeded: "Finished", Suspended: "Stopped" })[step] || step || "";

/** A line over the latest rates, low to high; many are averaged in groups. */
export function spark(rates, { low = 0, high = 1, width = 96, height = 22, label = "" } = {}) {
  const known = rates.filter((rate) => rate !== null);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const [least, most] = [Math.min(...known), Math.max(...known)];
  svg.setAttribute("aria-label", known.length ? `${label}${many(known.length, "episode")} from ${percent(least)} to ${percent(most)}` : "no episode yet");
  if (!known.length) return svg;
  const groups = Math.min(known.length, Math.floor(width / 2));
  const points = Array.from({ length: groups }, (_, i) => {
    const part = known.slice(Math.floor((i * known.length) / groups), Math.floor(((i + 1) * known.length) / groups));
    return part.reduce((sum, rate) => sum + rate, 0) / part.length;
  });
  const x = (i) => (groups === 1 ? width - 3 : 3 + (i * (width - 6)) / (groups - 1));
  const y = (rate) => height - 3 - ((height - 6) * (rate - low)) / (high - low || 1);
  if (groups > 1) {
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.map((rate, i) => `${x(i).toFixed(1)},${y(rate).toFixed(1)}`).join(" "));
    svg.append(line);
  }
  const dot = document.createElementNS(SVG, "path");
  dot.setAttribute("d", `M${x(groups - 1).toFixed(1)} ${y(points[groups - 1]).toFixed(1)}h.01`);
  svg.append(dot);
  return svg;
}

const STREAMS = ["evaluate", "online", "curve", "collect"];
export const streamWords = { evaluate: "evaluation", online: "online learning", curve: "learning curve", collect: "collecting" };

/** [method, stream, series] of everything that was played, and the scale that their spark lines share. */
export function seriesOf(experiment) {
  const mean = ([, streams]) => streams.evaluate?.successRate ?? -1;
  const ranked = experiment.state === "finished"; // else a row would move while it is read
  const methods = Object.entries(experiment.methods || {}).sort((a, b) => (ranked && mean(b) - mean(a)) || a[0].localeCompare(b[0]));
  const rows = methods.flatMap(([method, streams]) =>
    STREAMS.filter((stream) => stream in streams).map((stream) => [method, stream, streams[stream]]));
  const rates = rows.flatMap(([, , series]) => series.history).filter((rate) => rate !== null);
  const scale = rates.length ? { low: Math.min(...rates), high: Math.max(...rates) } : {};
  if (scale.low === scale.high) Object.assign(scale, { low: 0, high: 1 });
  return { rows, scale };
}

/** Seconds that an experiment has taken, by the controller's clock. */
export function secondsOf(experiment, ahead) {
  if (!experiment.startedAt) return null;
  const end = experiment.endedAt ? Date.parse(experiment.endedAt) : experiment.state === "running" ? Date.now() + ahead : NaN;
  return (end - Date.parse(experiment.startedAt)) / 1000;
}
