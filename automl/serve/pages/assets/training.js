// The page of jobs: POST /check and /train, GET /jobs, the curves of one while it trains, the leaderboard of its data.
import { call, download } from "./api.js";
import { clock, overEpochs } from "./charts.js";
import { at, element, many, plain, rough, show, word } from "./dom.js";

const SECONDS = 1;  // between two looks, while the page is seen
const LINES = 3;  // curves beside the one that grows
const EXAMPLE = `{
 "data": "digits",
 "layers": [
  {"Conv2d": {"out_channels": 16, "kernel_size": 3}}, "ReLU",
  {"MaxPool2d": {"kernel_size": 2}}, "Flatten",
  {"Linear": {"out_features": "auto"}}
 ],
 "optimizer": {"AdamW": {"lr": 0.003}},
 "criterion": "CrossEntropyLoss",
 "batch_size": 64,
 "epochs": 10
}`;
const WORDS = {
  start: "starting up", read: "reading the data", import: "starting up", prepare: "preparing the data",
  search: "training", refit: "training on all rows", export: "exporting the model",
};
const ENDED = ["done", "failed", "cancelled"];

let chosen = new URLSearchParams(location.search).get("job");
let seen = "", listed = "", boarded = "";  // what is shown, as JSON
let looking = false;

async function start() {
  at("asked").value = EXAMPLE;
  at("form").addEventListener("submit", (event) => { event.preventDefault(); ask("train"); });
  at("check").addEventListener("click", () => ask("check"));
  at("upload").addEventListener("change", upload);
  at("data").addEventListener("change", () => { boarded = ""; board(); });
  document.addEventListener("visibilitychange", look);
  await offerData();
  await look();
  await board();
  setInterval(look, 1000 * SECONDS);
}

async function offerData(wanted) {
  const { data } = await call("data");
  const before = wanted ?? at("data").value;
  at("data").replaceChildren(...data.map(({ name }) => element("option", { value: name }, name)));
  at("data").value = data.some(({ name }) => name === before) ? before : "digits";
}

async function ask(what) {
  show(at("wrong"), "");
  at("checked").replaceChildren();
  let asked;
  try {
    asked = JSON.parse(at("asked").value);
  } catch (error) {
    return show(at("wrong"), `This is no JSON: ${error.message}`);
  }
  const waiting = (text) => at("checked").replaceChildren(element("p", { class: "note" }, text || "Checking ..."));
  waiting("");
  try {
    const said = await call(what, { body: asked, waiting });
    if (what === "train") {
      choose(said.id);
      at("checked").replaceChildren();
    } else {
      at("checked").replaceChildren(...plan(said));
    }
  } catch (error) {
    at("checked").replaceChildren();
    show(at("wrong"), error.message);
  }
}

function plan({ task, layers, parameters, memory_mb: memory, choices, trials, epochs }) {
  const rows = layers.map(({ at: place, shape, parameters: count }) => element("tr", {},
    element("th", { scope: "row" }, word(place.replace("/layers/", ""))),
    element("td", { class: "n", "data-head": "gives" }, shape.join(" × ")),
    element("td", { class: "n", "data-head": "parameters" }, plain(count))));
  const said = [
    `${plain(task.rows.learn)} rows to learn from, ${plain(task.rows.test)} to test`, task.kind, task.metric.replaceAll("_", " "),
    parameters == null ? null : many(parameters, "parameter"), memory == null ? null : `about ${rough(memory)} MB in training`,
    choices.length ? many(choices.length, "choice") : null, `at most ${many(trials, "training")} of ${many(epochs, "epoch")}`,
  ];
  return [element("p", {}, `It fits. ${said.filter(Boolean).join("; ")}.`),
    rows.length ? table(["Layer", "Gives", "Parameters"], rows) : null].filter(Boolean);
}

const table = (head, rows) => element("table", { class: "plain" },
  element("thead", {}, element("tr", {}, ...head.map((text, i) => element("th", { scope: "col", class: i ? "n" : null }, text)))),
  element("tbody", {}, ...rows));

async function upload() {
  const [file] = at("upload").files;
  if (!file) return;
  show(at("wrong"), "");
  try {
    const { name } = await call(`data?name=${encodeURIComponent(file.name)}`, { body: file });
    await offerData(name);
    at("checked").replaceChildren(element("p", {}, "Uploaded: its name is ", word(name), "."));
  } catch (error) {
    show(at("wrong"), error.message);
  }
  at("upload").value = "";
}

function choose(id) {
  chosen = id;
  seen = "";
  history.replaceState(null, "", `?job=${encodeURIComponent(id)}`);
  look();
}

async function look() {
  if (looking || document.visibilityState !== "visible") return;
  looking = true;
  try {
    const { jobs } = await call("jobs", { tries: 1 });
    show(at("problem"), "");
    chosen ??= jobs[0]?.id ?? null;
    list(jobs);
    if (jobs.some(({ id }) => id === chosen)) await draw(chosen);
    else at("job").hidden = true;
  } catch (error) {
    show(at("problem"), `${error.message} What is shown may be old.`);
  } finally {
    looking = false;
  }
}

function list(jobs) {
  const text = JSON.stringify([jobs, chosen]);
  if (text === listed) return;
  listed = text;
  show(at("none"), jobs.length ? "" : "No jobs yet.");
  at("jobs").replaceChildren(...jobs.map((job) => {
    const button = element("button", { type: "button", class: "plain job", "aria-pressed": String(job.id === chosen) },
      element("b", {}, word(job.name ?? job.what), " on ", word(job.data)), badge(job), element("small", {}, brief(job)));
    button.addEventListener("click", () => choose(job.id));
    return button;
  }));
}

const badge = ({ state }) => element("span", { class: `badge ${state === "failed" ? "bad" : ""}` }, state);

function brief({ state, stage, trials, best, metric, result, error, made }) {
  const score = result ? `${result.metric.replaceAll("_", " ")} ${rough(result.test)} on test rows` : best == null ? null : `${metric.replaceAll("_", " ")} ${rough(best)} so far`;
  const now = state === "running" ? WORDS[stage] ?? "starting up" : null;
  return [now, trials ? many(trials, "training") : null, score, error || null, clock(made)].filter(Boolean).join(", ");
}

async function draw(id) {
  const job = await call(`jobs/${encodeURIComponent(id)}`, { tries: 1 });
  if (id !== chosen || JSON.stringify(job) === seen) return;
  const ended = seen && !ENDED.includes(JSON.parse(seen).state) && ENDED.includes(job.state);
  seen = JSON.stringify(job);
  document.title = `${job.state}: ${job.name ?? job.what}`;
  at("job").hidden = false;
  const focused = document.activeElement?.closest("#job [data-key]")?.dataset.key;
  at("job").replaceChildren(...about(job));
  if (focused) at("job").querySelector(`[data-key=${focused}]`)?.focus();
  if (ended && at("data").value === job.data) {
    boarded = "";
    await board();
  }
}

function about(job) {
  const { progress, result } = job;
  return [
    element("h2", {}, word(job.name ?? job.what), " on ", word(job.data), " ", badge(job)),
    element("p", {}, word(brief(job)), job.attempts > 1 ? `; taken up ${job.attempts} times` : "", "."),
    curves(progress),
    result ? facts(result) : null,
    element("p", { class: "row" }, ...actions(job)),
    element("details", { "data-key": "asked" }, element("summary", {}, "What was asked"), element("pre", {}, JSON.stringify(job.asked, null, 1))),
  ].filter(Boolean);
}

function curves(progress) {
  const known = (progress?.trials ?? []).filter(({ curve }) => curve.some((value) => value != null));
  const better = result(progress?.best, known);
  const shown = [...new Set([better, ...known.slice(-LINES)].filter(Boolean))].slice(0, LINES);
  const series = shown.map((trial) => ({ name: `training ${trial.number}, ${trial.family}${trial === better ? ", the best" : ""}`, values: trial.curve }));
  if (progress?.now?.length) series.unshift({ name: "at work", values: progress.now });
  if (!series.length) return null;
  const title = `${(progress.metric ?? "score").replaceAll("_", " ")} on validation rows after each epoch`;
  return element("div", {}, element("p", { class: "measure" }, title[0].toUpperCase() + title.slice(1)), overEpochs({ title, series }));
}

const result = (best, trials) => trials.find(({ score }) => score === best);

function facts(of) {
  const tile = (title, value, note = "") => element("div", { class: "tile" }, element("small", {}, title), element("b", {}, value), element("small", {}, note));
  const name = of.metric.replaceAll("_", " ");
  return element("div", { class: "tiles" },
    tile(`Test ${name}`, rough(of.test), of.interval ? `between ${rough(of.interval[0])} and ${rough(of.interval[1])}` : ""),
    tile(`Validation ${name}`, of.val == null ? "none" : rough(of.val), of.baseline == null ? "" : `${rough(of.baseline)} without a model`),
    tile("Parameters", of.parameters == null ? "not known" : plain(of.parameters), of.family),
    tile("One row", of.latency_ms == null ? "not known" : `${rough(of.latency_ms)} ms`, "on one thread"),
    tile("Time", `${rough(of.seconds)} s`, many(of.trials, "training")));
}

function actions(job) {
  const button = (key, text, act) => {
    const made = element("button", { type: "button", class: "plain", "data-key": key }, text);
    made.addEventListener("click", () => act().then(look, (error) => show(at("problem"), error.message)));
    return made;
  };
  const path = `jobs/${encodeURIComponent(job.id)}`;
  const made = [];
  if (job.state === "done") {
    made.push(button("bundle", "Download the model", () => download(`${path}/bundle`, `${job.id}.zip`)));
    made.push(button("result", "Download the result", () => download(`${path}/result`, `${job.id}.json`)));
  }
  if (job.cancel && job.state === "running") made.push(element("span", { class: "note" }, "It will stop in a moment."));
  else if (!ENDED.includes(job.state)) made.push(button("stop", "Stop it", () => call(path, { method: "DELETE" })));
  else made.push(button("delete", "Delete it", async () => { await call(path, { method: "DELETE" }); chosen = null; }));
  return made;
}

async function board() {
  const data = at("data").value;
  if (!data) return;
  show(at("boarded"), "Comparing ...");
  try {
    const said = await call(`leaderboard?data=${encodeURIComponent(data)}`, { waiting: (text) => text && show(at("boarded"), text) });
    if (at("data").value !== data) return;
    const metric = said.metric.replaceAll("_", " ");
    show(at("boarded"), said.rows.length ? `${metric[0].toUpperCase()}${metric.slice(1)}; best first.${said.baseline == null ? "" : ` ${rough(said.baseline)} without a model.`}` : "Nothing was tried on these data yet.");
    if (JSON.stringify(said) === boarded) return;
    boarded = JSON.stringify(said);
    at("board").replaceChildren(...(said.rows.length ? [ranks(said)] : []));
  } catch (error) {
    show(at("boarded"), error.message);
  }
}

function ranks({ metric, rows }) {
  const value = (x) => x == null ? "–" : rough(x);
  const cell = (head, text) => element("td", { class: "n", "data-head": head }, text);
  return table(["", "Test", "Validation", "Seconds", "Parameters", "ms a row"], rows.map((row, i) => element("tr", {},
    element("th", { scope: "row" }, `${i + 1}. `, word(row.name), " ", element("span", { class: "badge" }, row.kind === "model" ? "best of its family" : row.kind),
      row.metric === metric ? "" : ` by ${row.metric.replaceAll("_", " ")}`, row.name === row.family ? "" : element("small", {}, " ", row.family)),
    cell("test", value(row.test)), cell("validation", value(row.val)), cell("seconds", value(row.seconds)),
    cell("parameters", row.parameters == null ? "–" : plain(row.parameters)), cell("ms a row", value(row.latency_ms)))));
}

start().catch((error) => show(at("problem"), error.message));
