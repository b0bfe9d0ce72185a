// A file of a run in a tab of its own: the report as it is, a figure, or text.

import { ask, filePath } from "./api.js";
import { h, put } from "./parts.js";

const DANGEROUS = "script, base, link, meta[http-equiv], iframe, frame, object, embed, form"; // the policy forbids them as well

const given = new URLSearchParams(location.search);
const [name, file] = [given.get("experiment") || "", given.get("file") || ""];

function report(text) {
  const parsed = new DOMParser().parseFromString(text, "text/html");
  parsed.querySelectorAll(DANGEROUS).forEach((element) => element.remove());
  const title = parsed.title;
  document.documentElement.replaceWith(document.adoptNode(parsed.documentElement));
  document.title = title || name;
}

function page(...content) {
  put(document.getElementById("view"), h("p", { class: "facts" }, `${name} / ${file}`), ...content);
  document.title = `${file} · ${name}`;
}

try {
  const response = await ask(filePath(name, file));
  const type = (response.headers.get("content-type") || "").split(";")[0];
  if (type === "text/html") report(await response.text());
  else if (type.startsWith("image/")) page(h("img", { class: "figure", alt: file, src: URL.createObjectURL(await response.blob()) }));
  else if (type === "application/json") page(h("pre", {}, JSON.stringify(await response.json(), null, 2)));
  else if (type === "application/yaml") page(h("pre", {}, await response.text()));
  else {
    const url = URL.createObjectURL(await response.blob());
    page(h("p", {}, h("a", { class: "button main", href: url, download: file.split("/").pop() }, "Save this file")));
  }
} catch (error) {
  page(h("p", { class: "hint" }, error.message || "The controller does not answer."));
}
