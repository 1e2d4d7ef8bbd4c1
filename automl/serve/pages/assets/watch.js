// The page that shows how a model fares: GET /monitor, in which the server has added up what its workers counted.
import { call } from "./api.js";
import { bins, clock, overTime } from "./charts.js";
import { at, bar, element, first, many, percent, plain, rough, show, signed, word } from "./dom.js";
import { NONE, chosen, offerModels } from "./models.js";

const SECONDS = 5;  // between two looks, while the page is seen
const ROWS = 20;  // fields, alerts and classes that are shown at once
const MINUTE = 60;
const LEVEL = 0.9;  // whose cover is shown

let seen = "";  // what is shown, as JSON
let asking = false;
let updated = null;

async function start() {
  const name = await offerModels((text) => show(at("state"), text));
  if (!name) return show(at("state"), NONE);
  at("model").addEventListener("change", () => {
    seen = "";
    at("all").hidden = true;
    look();
  });
  document.addEventListener("visibilitychange", look);
  setInterval(look, 1000 * SECONDS);
  await look();
}

async function look() {
  if (asking || document.visibilityState !== "visible") return;
  asking = true;
  const name = chosen();
  try {
    const status = await call(`monitor?model=${encodeURIComponent(name)}`, { tries: 1 });
    if (at("model").value !== name) return;
    updated = Date.now() / 1000;
    show(at("problem"), "");
    draw(name, status);
  } catch (error) {
    const off = error.status === 404 ? " A server counts only where it has a folder for it (state=FOLDER)." : "";
    show(at("problem"), error.message + off + (updated ? ` What is shown is from ${clock(updated)}.` : ""));
  } finally {
    asking = false;
    if (at("model").value !== name) look();
  }
}

function draw(name, status) {
  const text = JSON.stringify(status);
  if (text === seen) return;
  seen = text;
  document.title = `${name}: ${status.verdict}`;
  const none = !status.windows.length;
  show(at("state"), none ? "No requests yet. What is asked on the page Predict, or by any client, is counted here within a minute." : "");
  at("all").hidden = none;
  if (none) return;
  const opened = new Set([...document.querySelectorAll("details[open]")].map((node) => node.dataset.key));
  const focused = document.activeElement?.closest("details")?.dataset.key;
  at("verdict").replaceChildren(...verdict(status));
  at("tiles").replaceChildren(...tiles(status));
  at("charts").replaceChildren(...charts(status));
  at("answers").replaceChildren(...answers(status.outputs));
  at("drift").replaceChildren(...fields(status));
  for (const node of document.querySelectorAll("details")) {
    node.open ||= opened.has(node.dataset.key);
    if (focused && node.dataset.key === focused) node.querySelector("summary").focus();
  }
}

const COLOURS = { moved: "bad", fine: "good" };

function verdict({ verdict, text, problems = [], judged, alerts, digest }) {
  const open = alerts.filter(({ until }) => until === null);
  const line = ({ text, since, until }) => element("li", {}, word(text), ` (since ${clock(since)}${until === null ? "" : ` until ${clock(until)}`})`);
  const past = alerts.filter(({ until }) => until !== null);
  return [
    element("p", { class: `verdict ${COLOURS[verdict] ?? ""}` }, text[0].toUpperCase() + text.slice(1), "."),
    problems.length ? element("ul", {}, ...problems.map((problem) => element("li", {}, problem))) : null,
    open.length ? element("ul", { class: "warnings" }, ...first(ROWS, open, line, "alerts")) : null,
    past.length ? folded("past", many(past.length, "alert") + " that ended", () => [element("ul", {}, ...past.map(line))]) : null,
    element("p", { class: "note" }, `Judged from ${many(judged.rows, "row")} in ${many(judged.windows, "window")}; version `, word(digest.slice(0, 16)), "."),
  ].filter(Boolean);
}

function tiles({ traffic, live, fields }) {
  const tile = (title, value, note) => element("div", { class: "tile" },
    element("small", {}, title), element("b", {}, value), element("small", {}, note));
  const bounds = (ends) => ends ? `between ${rough(ends[0])} and ${rough(ends[1])}` : "";
  const lost = [[traffic.dropped, "not recorded"], [traffic.unread, "with fields that could not be counted"]].filter(([count]) => count);
  const moved = fields.filter((field) => field.moved).length;
  const confirmed = live.confirmed == null ? "none yet" : rough(live.confirmed);
  return [
    tile("Requests", plain(traffic.requests), [many(traffic.rows, "row"), ...lost.map(([count, what]) => `${plain(count)} ${what}`)].join(", ")),
    tile("Latency", traffic.p50_ms == null ? "none yet" : `${rough(traffic.p50_ms)} ms`, traffic.p99_ms == null ? "" : `median; ${rough(traffic.p99_ms)} ms for the slowest 1 %`),
    tile(`Estimated ${said(live.metric)}`, live.estimated == null ? "not known" : rough(live.estimated), live.why || [bounds(live.estimated_bounds), live.expected == null ? "" : `${rough(live.expected)} expected`].filter(Boolean).join("; ")),
    tile(`Confirmed ${said(live.metric)}`, confirmed, `${many(live.labels, "true answer")} told${live.bounds ? `; ${bounds(live.bounds)}` : ""}`),
    ...live.coverage.filter(({ level }) => level === LEVEL).map(({ covered, bounds: ends }) =>
      tile(`Covered at ${percent(LEVEL)}`, percent(covered), `between ${percent(ends[0])} and ${percent(ends[1])}`)),
    tile("Fields that moved", `${moved} of ${fields.length}`, ""),
  ];
}

const said = (metric) => (metric ?? "metric").replaceAll("_", " ");

function charts({ windows, live }) {
  const spans = windows.map(({ start, at }) => [Math.min(start, at - MINUTE), at]);
  const of = (name) => windows.map((window) => window[name] ?? null);
  const panel = (title, series, more) => {
    if (series.every(({ values }) => values.every((value) => value === null))) return null;
    const last = series.map(({ name, values }) => `${name}, last ${rough(values.findLast((value) => value !== null))}`);
    return element("section", { "aria-label": title }, element("h2", {}, title), overTime({ title: `${title}: ${last.join("; ")}`, spans, series, ...more }));
  };
  const perMinute = windows.map(({ requests }, i) => (MINUTE * requests) / (spans[i][1] - spans[i][0]));
  const levels = [["expected", live.expected], ["confirmed", live.confirmed]].filter(([, value]) => value != null).map(([name, value]) => ({ name, value }));
  return [
    panel("Requests per minute", [{ name: "requests", values: perMinute, bars: true }], { zero: true }),
    panel("Latency in ms", [{ name: "median", values: of("p50_ms") }, { name: "slowest 1 %", values: of("p99_ms") }], { zero: true }),
    panel(`Estimated ${said(live.metric)}`, [{ name: "estimated", values: of("estimated") }], { levels }),
    panel("Evidence that something moved", [{ name: "evidence", values: of("evidence") }], { zero: true, levels: [{ name: "alarm", value: 1 }] }),
  ].filter(Boolean);
}

function answers({ measures, cost }) {
  const change = cost?.change == null ? null
    : element("p", {}, `What moved may cost: ${said(cost.what)} ${rough(cost.before)} \u2192 ${rough(cost.now)} (${signed(cost.change, rough)}).`);
  return [element("h2", {}, "Answers"), element("p", { class: "note" }, "Shares in training \u2192 now."), change, ...measures.flatMap((measure) => [
    element("p", { class: "measure" }, moved(measure), ` ${measure.what[0].toUpperCase()}${measure.what.slice(1)}`, measure.text ? ": " : "", word(measure.text)),
    ...shares(measure),
  ])].filter(Boolean);
}

const moved = (measure) => element("span", { class: `badge ${measure.moved ? "bad" : ""}` }, measure.moved ? "moved" : "as before");

// Shares of the training rows and of those of now. The last cells are "> EDGE" and "missing" of a number, "other",
// "unknown" and "missing" of a category.
function shares({ what, labels, before, now }) {
  if (!labels) return [];
  if (labels.at(-2).startsWith("> ")) return [bins({ title: `Shares of ${what}, in training and now`, labels, before, now })];
  const order = labels.map((name, i) => ({ name, was: before[i], is: now[i] })).filter(({ was, is }) => was || is).sort((a, b) => b.is - a.is);
  return first(10, order, ({ name, was, is }) => element("div", { class: "bar" }, word(name),
    element("b", {}, `${percent(was)} \u2192 ${percent(is)}`), bar(is)), "classes");
}

function fields({ fields, alerts }) {
  const order = [...fields].sort((a, b) => b.moved - a.moved || b.distance - a.distance);
  const since = new Map(alerts.filter(({ until }) => until === null).map((alert) => [`${alert.field}\n${alert.what}`, alert.since]));
  const row = (field) => fieldRow(field, since.get(`${field.field}\n${field.what}`));
  const head = ["Field", "", "How far", "Missing", "Outside"].map((text) => element("th", { scope: "col" }, text));
  const table = (some) => element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...some.map(row)));
  const rest = order.slice(ROWS);
  return [
    element("h2", {}, "Fields, beside those of training"),
    fields.length ? table(order.slice(0, ROWS)) : element("p", { class: "note" }, "This model has no counts of its training rows to compare with."),
    rest.length ? folded("fields", `${plain(rest.length)} more fields`, () => [table(rest)]) : null,
  ].filter(Boolean);
}

function fieldRow(field, since) {
  const { field: name, what, distance, missing, outside, text } = field;
  const change = ([before, now]) => Math.abs(before - now) < 0.0005 ? percent(now) : `${percent(before)} \u2192 ${percent(now)}`;
  const head = [word(name), what === "value" ? "" : ` (${what})`];
  return element("tr", {},
    element("th", { scope: "row" }, ...(field.labels ? [folded(`${name}\n${what}`, head, () => shares(field))] : head)),
    element("td", {}, moved(field), text ? " " : "", word(text), since ? ` since ${clock(since)}` : ""),
    element("td", { "data-head": "How far:" }, rough(distance), bar(distance, field.moved ? "bad" : "")),
    element("td", { "data-head": "Missing:" }, change(missing)),
    element("td", { "data-head": "Outside:" }, change(outside)));
}

function folded(key, title, draw) {  // drawn when it is opened first
  const made = element("details", { "data-key": key }, element("summary", {}, ...[title].flat()));
  made.addEventListener("toggle", () => made.append(...draw()), { once: true });
  return made;
}

start().catch((error) => {
  show(at("state"), "");
  show(at("problem"), error.message);
});
