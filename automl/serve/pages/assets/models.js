// Which model a page is about: the choice in its head, kept in the address.
import { call } from "./api.js";
import { at, element } from "./dom.js";

export const NONE = "No model is served yet. Add one to the registry and reload this page.";

// Fill the choice with names, and names with an alias other than the one that a name alone means. Returns "" where
// there is no model, else the one of the address or the first.
export async function offerModels(waiting) {
  const { models, pages = [] } = await call("models", { waiting });
  if (pages.includes("training")) document.querySelector("nav").append(" ", element("a", { href: "training" }, "Train"));
  const names = models.flatMap(({ name, aliases }) =>
    [name, ...Object.keys(aliases ?? {}).filter((alias) => alias !== "champion").map((alias) => `${name}@${alias}`)]);
  at("model").replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  at("model").parentElement.hidden = !names.length;
  const wanted = new URLSearchParams(location.search).get("model");
  if (names.includes(wanted)) at("model").value = wanted;
  return at("model").value;
}

export function chosen() {
  const name = at("model").value;
  const query = `?model=${encodeURIComponent(name)}`;
  history.replaceState(null, "", query);
  for (const link of document.querySelectorAll("nav a")) link.search = query;
  return name;
}
