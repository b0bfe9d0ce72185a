// Which view is shown, and what everybody tells it: the list when the page opens, then the stream of events.

import { ask, askJson, experimentPath, filePath, forgetToken, hasToken, listen, Refused } from "./api.js";
import { detailView } from "./detail.js";
import { listView } from "./list.js";
import { h, put, shareOf } from "./parts.js";
import { post, submitView } from "./submit.js";

const known = new Map(); // documents of experiments by name, as far as they have been told
const byId = (id) => document.getElementById(id);
let view = null;

function tell(experiment) {
  const before = known.get(experiment.name);
  known.set(experiment.name, { ...before, ...experiment });
  if (before && before.state !== experiment.state) say(`${experiment.name}: ${experiment.state}`);
  view?.update(known.get(experiment.name));
  title();
}

function title() {
  const running = [...known.values()].filter((one) => one.state === "running");
  const share = running.length === 1 ? shareOf(running[0]) : null;
  const done = share === null ? "" : `${Math.floor(100 * share)} % · `;
  document.title = `${done}${view ? `${view.title} · ` : ""}edgebed`;
}

const say = (text) => { byId("said").textContent = text; };

async function route() {
  const [place, name] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  view?.close?.();
  if (place === "new") view = submitView((experiment) => { tell(experiment); goTo(experiment.name); });
  else if (place === "experiments" && name) view = await detailOf(name);
  else view = listView(known, tell);
  put(byId("view"), view.element);
  title();
  view.focus?.();
}

async function detailOf(name) {
  try {
    tell(await askJson(experimentPath(name)));
  } catch (error) {
    return { element: h("p", { class: "hint" }, error instanceof Refused ? error.message : "The controller does not answer."), update() {}, tick() {}, title: name };
  }
  return detailView(name, known.get(name), actions);
}

const goTo = (name) => { location.hash = `#/experiments/${encodeURIComponent(name)}`; };

const actions = {
  async stop(name) {
    if (!(await confirmed(`Stop ${name}?`, "What was played and learned is kept, and it can be resumed later.", "Stop it"))) return;
    await tried(async () => { await ask(experimentPath(name), { method: "DELETE" }); say(`${name} is being stopped`); });
  },
  // The experiment as it was run, sent again to the folder where it was run.
  async resume(name) {
    if (!(await confirmed(`Resume ${name}?`, "It goes on where it stopped.", "Resume"))) return;
    await tried(async () => tell(await post(await (await ask(filePath(name, "experiment.yaml"))).text(), name)));
  },
};

async function tried(work) {
  try {
    await work();
  } catch (error) {
    await confirmed(error.title || "That did not work", error instanceof Refused ? error.message : "The controller does not answer.", null);
  }
}

function confirmed(question, text, yes) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = question;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes ?? "";
  byId("confirm-yes").hidden = yes === null;
  byId("confirm-no").textContent = yes === null ? "Close" : "Cancel";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

async function refresh() {
  const { experiments } = await askJson("/v1/experiments");
  for (const experiment of experiments) tell(experiment);
  byId("forget").hidden = !hasToken();
}

function connection(state) {
  byId("link").dataset.state = state;
  byId("link").textContent = state === "live" ? "live" : "no connection, trying again";
  if (state === "live") refresh().catch(() => {}); // what was missed meanwhile
}

function dropping() {
  const drop = byId("drop");
  const wanted = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  addEventListener("dragover", (event) => { if (wanted(event)) { event.preventDefault(); drop.hidden = false; } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.hidden = true; });
  addEventListener("drop", async (event) => {
    if (!wanted(event)) return;
    event.preventDefault();
    drop.hidden = true;
    const file = event.dataTransfer.files[0];
    if (!file) return;
    if (!view?.load) {
      history.pushState(null, "", "#/new");
      await route();
    }
    view.load(file);
  });
}

byId("forget").addEventListener("click", forgetToken);
addEventListener("hashchange", route);
setInterval(() => view?.tick(), 1000);
dropping();
await refresh().catch(() => {});
await route();
listen(tell, connection);
