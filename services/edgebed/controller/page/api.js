// Requests to the control API: with the token, which is asked for when the API wants one, and the stream of events.

import { h } from "./parts.js";

const KEY = "edgebed-token";
const SILENCE_MS = 15000; // the controller says something every five seconds
const LONGEST_WAIT_S = 15;

/** What the API refused, in its own words. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the controller answered with status ${status}`);
    this.status = status;
    this.title = problem.title || "";
    this.problems = problem.problems || [];
  }
}

let asking = null;
/** Milliseconds by which the controller's clock is ahead of ours. */
export let ahead = 0;

/** A response, once the API accepts the token. Rejects with Refused, or TypeError while nobody answers. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
    const response = await fetch(path, { cache: "no-store", credentials: "omit", redirect: "error", ...options, headers });
    const date = Date.parse(response.headers.get("date") || "");
    if (!Number.isNaN(date)) ahead = date - Date.now();
    if (response.status !== 401) {
      if (response.ok) return response;
      throw new Refused(response.status, await response.json().catch(() => ({})));
    }
    if (sessionStorage.getItem(KEY) === token) { // else it has been replaced meanwhile
      sessionStorage.removeItem(KEY);
      asking ??= askForToken(token !== null).finally(() => { asking = null; });
      await asking;
    }
  }
}

/** The same as JSON. */
export const askJson = async (path, options) => (await ask(path, options)).json();

export const experimentPath = (name, rest = "") => `/v1/experiments/${encodeURIComponent(name)}${rest}`;
export const filePath = (name, file) => experimentPath(name, `/files/${file.split("/").map(encodeURIComponent).join("/")}`);
export const viewPath = (name, file) => `/page/view.html?${new URLSearchParams({ experiment: name, file })}`;

export const hasToken = () => sessionStorage.getItem(KEY) !== null;

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  location.reload();
}

function askForToken(wasWrong) {
  const input = h("input", {
    id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    "aria-describedby": "token-wrong", "aria-invalid": String(wasWrong),
  });
  const wrong = h("p", { id: "token-wrong", class: "wrong", role: "alert" }, wasWrong ? "The controller refused this token. Try another one." : "");
  const form = h("form", {},
    h("h2", { id: "token-title" }, "This controller asks for a token"),
    h("p", {}, "The one that was set as ", h("code", {}, "EDGEBED_TOKEN"), ". It stays in this tab until you close it."),
    h("label", { for: "token" }, "Token"), input, wrong,
    h("div", { class: "actions" }, h("button", { class: "main", type: "submit" }, "Continue")));
  const dialog = h("dialog", { id: "token-dialog", "aria-labelledby": "token-title" }, form);
  dialog.addEventListener("cancel", (event) => event.preventDefault()); // there is nothing to see without it
  document.body.append(dialog);
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = input.value.trim();
      if (!/^[\x21-\x7e]+$/.test(token)) {
        wrong.textContent = "A token has no spaces, and no letters beyond ASCII.";
        return;
      }
      sessionStorage.setItem(KEY, token);
      dialog.remove();
      resolve();
    });
  });
}

/** For ever: `tell` gets every experiment's document that comes, `say` whether there is a connection. */
export async function listen(tell, say) {
  for (let waitS = 1; ; waitS = Math.min(2 * waitS, LONGEST_WAIT_S)) {
    try {
      await events((document) => { waitS = 1; tell(document); }, say);
    } catch (error) {
      if (error instanceof Refused) console.warn(error.message);
    }
    say("away");
    await new Promise((resolve) => setTimeout(resolve, 1000 * waitS));
  }
}

// EventSource cannot send a header, so the stream is read by hand.
async function events(tell, say) {
  const given = new AbortController();
  let watchdog = 0;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => given.abort(), SILENCE_MS);
  };
  try {
    const response = await ask("/v1/events", { signal: given.signal });
    say("live");
    alive();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
        if (data.length) tell(JSON.parse(data.join("\n")));
      }
    }
  } finally {
    clearTimeout(watchdog);
  }
}
