// An answer in words and bars.
import { bar, element, first, many, percent, plain, rough, signed, word } from "./dom.js";

const BARS = 10;  // classes, and fields, that are shown at once
const UNUSUAL = 0.05;

// Nodes for what POST /predict said of one row. `model`: of GET /models/NAME; `level`: that was asked for, or null.
export function answerNodes(said, model, level, seconds) {
  const [answer] = said.answers;
  const likely = Object.entries(answer.p ?? {}).sort((a, b) => b[1] - a[1]);
  return [
    element("p", { class: "note" }, word(model.target)),
    element("p", { class: "answer" }, "class" in answer ? word(answer.class) : plain(answer.value)),
    range(answer, model, level),
    set(answer, model, level),
    usual(answer.credibility),
    ...warnings(said.warnings ?? []),
    ...block("Probability of each class", first(BARS, likely, classBar, "classes")),
    ...block("What moved it", moved(said.explanation ?? [], "p" in answer)),
    element("p", { class: "note" }, "Answered by ", word(said.model), ` in ${plain(Math.round(1000 * seconds))} ms. Request `, word(said.id),
      said.model.endsWith(model.digest.slice(0, 16)) ? "" : " (another version than these fields are of)."),
  ].filter(Boolean);
}

const block = (title, nodes) => nodes.length ? [element("h2", {}, title), ...nodes] : [];

function classBar([name, share]) {
  return element("div", { class: "bar" }, word(name), element("b", {}, percent(share)), bar(share));
}

function range({ interval, class: name }, model, level) {
  if (!interval) return null;
  const [low, high] = interval;
  if (name === undefined) {
    return element("p", {}, "Between ", element("b", {}, plain(low)), " and ", element("b", {}, plain(high)),
      ` for ${percent(level)} of such rows.`);
  }
  return element("p", {}, "The probability of ", word(model.classes[1]), ` lies between ${percent(low)} and ${percent(high)}.`);
}

function set(answer, model, level) {
  if (!answer.set) return null;
  const names = answer.set;
  if (!names.length) return element("p", {}, `At ${percent(level)} no class fits: this row is unlike those of training.`);
  if (names.length === model.classes.length) return element("p", {}, `At ${percent(level)} no class can be ruled out.`);
  const shown = names.slice(0, BARS).flatMap((name, i) => [i ? ", " : "", word(name)]);
  const more = names.length - BARS;
  return element("p", {}, `At ${percent(level)} it is `, names.length > 1 ? "one of " : "", ...shown,
    more > 0 ? ` and ${more} more.` : ".");
}

function usual(credibility) {
  if (credibility == null) return null;
  const words = credibility < UNUSUAL ? "Unusual: " : "How usual: ";
  return element("div", { class: "bar" },
    element("span", {}, words, `${percent(credibility)} of known rows fitted no better`), bar(credibility, credibility < UNUSUAL ? "bad" : ""));
}

function warnings(told) {
  if (!told.length) return [];
  const line = ({ field, what }) => element("li", {}, field ? word(field) : null, field ? ": " : null, word(what));
  return [element("h2", {}, many(told.length, "warning")), element("ul", { class: "warnings" }, ...first(BARS, told, line, "warnings"))];
}

function moved(effects, isClass) {
  const largest = Math.max(...effects.map(({ effect }) => Math.abs(effect)), Number.MIN_VALUE);
  const text = isClass ? (x) => `${plain(Number((100 * x).toFixed(1)))} points` : rough;
  return effects.map(({ field, value, effect }) => element("div", { class: "bar" },
    element("span", {}, word(field), value == null ? null : " = ", value == null ? null : word(short(value))),
    element("b", {}, signed(effect, text)),
    bar(Math.abs(effect) / largest, effect < 0 ? "down" : "up")));
}

const short = (value) => typeof value === "number" ? plain(value) : String(value).length > 60 ? `${String(value).slice(0, 60)} ...` : value;
