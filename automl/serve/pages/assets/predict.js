// The page that asks a model about one row.
import { answerNodes } from "./answer.js";
import { call } from "./api.js";
import { at, element, many, percent, show, word } from "./dom.js";
import { fieldOf } from "./fields.js";
import { NONE, chosen, offerModels } from "./models.js";
import { rowOf } from "./paste.js";

const TOP = 8;  // fields that an explanation tells
const FIND = 20;  // fields from which on they are searched
const ANY = { type: ["number", "string"] };  // of a model without a schema, made by an earlier version

let model = null;  // of GET /models/NAME
let fields = [];
let answered = null;  // the last answer, for the feedback
let asked = 0;

const waiting = (text) => {
  show(at("state"), text);
  at("answer").hidden = false;
};
const names = () => fields.map((field) => field.name);

function problem(error) {
  show(at("problem"), error instanceof Error ? error.message : String(error));
  waiting("");
}

// Run what a click started; a failure is shown in one line.
async function doing(work) {
  show(at("problem"), "");
  try {
    return await work();
  } catch (error) {
    problem(error);
  }
}

async function start() {
  if (await offerModels(waiting)) await choose();
  else show(at("about"), NONE);
}

async function choose() {
  const name = chosen();
  const told = await call(`models/${encodeURIComponent(name)}`, { waiting });
  if (at("model").value !== name) return;  // another was chosen meanwhile
  model = told;
  const example = new Map(Object.entries(model.example ?? {}));  // a column may be called "constructor"
  const known = model.schema.properties ?? Object.fromEntries(model.inputs.map(({ name }) => [name, ANY]));
  fields = Object.entries(known).map(([field, schema]) => fieldOf(field, schema, example.get(field)));
  at("fields").replaceChildren(...fields.map(({ root }) => root));
  document.title = `${model.name}: predict`;
  const task = model.kind === "regression" ? "a number" : many(model.classes.length, "class", "classes");
  at("about").replaceChildren(word(model.target), ` (${task}) from ${many(fields.length, "field")}. Version `, word(model.digest.slice(0, 16)), ".",
    example.size ? " The fields hold a row of the model's own." : "");
  if (model.error) problem(new Error(model.error));
  at("level").replaceChildren(...(model.levels ?? []).map((level) => element("option", { value: level, selected: level === 0.9 }, percent(level))));
  at("levels").hidden = !model.levels?.length;
  at("ask").hidden = at("paste").hidden = false;
  at("finder").hidden = fields.length < FIND;
  forget("No answer yet: fill in a row and press Predict.");
}

function forget(text) {
  answered = null;
  at("result").replaceChildren();
  at("feedback").hidden = true;
  waiting(text);
}

function row() {
  return Object.fromEntries(fields.map((field) => [field.name, field.get()]));
}

async function predict() {
  const turn = ++asked;
  const body = { model: at("model").value, rows: [row()] };
  const level = model.levels?.length ? Number(at("level").value) : null;
  if (level !== null) body.level = level;
  if (at("explain").checked) body.explain = TOP;
  if (!answered) waiting("Asking the model ...");
  at("answer").setAttribute("aria-busy", "true");
  const begun = performance.now();
  try {
    const said = await call("predict", { body, waiting: (text) => turn === asked && waiting(text) });
    if (turn !== asked) return;  // a later question is on its way
    answered = said;
    at("result").replaceChildren(...answerNodes(said, model, level, (performance.now() - begun) / 1000));
    waiting("");
    offerFeedback(said.answers[0]);
  } catch (error) {
    if (turn !== asked) return;
    forget("");
    throw error;
  } finally {
    if (turn === asked) at("answer").removeAttribute("aria-busy");
  }
}

function offerFeedback(answer) {
  const classes = answer.p ? model.classes : [];
  at("truth").replaceChildren(classes.length
    ? element("select", { "aria-label": "the true class" }, element("option", { value: "" }, "choose"),
      ...classes.map((name, i) => element("option", { value: i }, name)))
    : element("input", { inputmode: "decimal", "aria-label": "the true value" }));
  show(at("told"), "");
  at("feedback").hidden = false;
}

async function feedback() {
  const { value } = at("truth").firstChild;
  if (value.trim() === "") throw new Error("Say first what it really was.");
  const label = answered.answers[0].p ? model.classes[value] : Number(value);
  if (Number.isNaN(label)) throw new Error(`'${value}' is no number.`);
  const { known, repeated } = await call("feedback", { body: { id: answered.id, labels: [label] }, waiting });
  show(at("told"), known ? "Thank you; it counts on the page Watch." : repeated ? "The server knew that already." : "The server no longer knows this answer.");
}

function paste(text) {
  const given = rowOf(text, names());
  const found = fields.filter(({ name }) => Object.hasOwn(given, name));
  for (const field of found) field.set(given[field.name]);
  const strange = Object.keys(given).filter((name) => !names().includes(name));
  const few = strange.slice(0, 5).join(", ") + (strange.length > 5 ? " ..." : "");
  show(at("filled"), `${found.length} of ${many(fields.length, "field")} filled in.${strange.length ? ` Not of this model: ${few}.` : ""}`);
  at("paste").open = true;
  at("form").dispatchEvent(new Event("change"));
}

// A file dropped beside the fields goes to the first that takes its kind, or is a row.
async function drop(file) {
  const kind = /^(image|audio|text)\//.exec(file.type)?.[1];
  const rows = /\.(csv|tsv|json)$/i.test(file.name);
  const wanted = rows ? "series" : { image: "picture", audio: "sound", text: "text" }[kind];
  const field = fields.find((one) => one.kind === wanted);
  if (!field && !rows) throw new Error(`This model takes no file like ${file.name}.`);
  await (field ? field.take(file) : file.text().then(paste));
  at("form").dispatchEvent(new Event("change"));
}

at("model").addEventListener("change", () => doing(choose));
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(predict).then(() => at("answer").scrollIntoView({ block: "nearest" }));
});
at("form").addEventListener("change", () => at("live").checked && doing(predict));
at("feedback").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(feedback);
});
at("fill").addEventListener("click", () => doing(async () => paste(at("pasted").value)));
at("find").addEventListener("input", () => {
  const words = at("find").value.toLowerCase();
  for (const { name, root } of fields) root.hidden = !name.toLowerCase().includes(words);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) doing(() => drop(file));
});
window.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  problem(event.reason);
});

doing(start);
