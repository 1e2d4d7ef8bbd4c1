// One field of a row: what the user sees, and the JSON that the model gets.
//
//     const field = fieldOf(name, schema, example)   // root, get(), set(value), take(file), kind
//
// get() throws an Error whose text names the field when what stands there cannot be sent.
import { element, plain, svg, word } from "./dom.js";
import { numbers } from "./paste.js";

const LONG = 400;  // characters of a text that need a larger box
const LARGEST = 50e6;  // bytes of a file: a browser holds it three times

// The kind as the schema tells it. The server describes each field, see automl/deploy/schema.py.
function kindOf(schema) {
  const forms = schema.anyOf ?? [];
  const file = forms.find((form) => form.contentMediaType);
  if (file) return file.contentMediaType.startsWith("image/") ? "picture" : "sound";
  if (forms.some((form) => form.type === "array")) return "series";
  if (forms.some((form) => form.format)) return "date";
  if (schema.examples) return "category";
  return [schema.type].flat().includes("number") ? "number" : "text";
}

const MADE = { number: cell, category, date, text, series, picture: media, sound: media };

const REST = /; ([^,;]*)/;  // what is told behind the first part, but for gaps
const HINTS = { number: REST, picture: REST, sound: REST, series: /^([^;]*)/ };

export function fieldOf(name, schema, example) {
  const kind = kindOf(schema);
  const id = `field-${fieldOf.count = (fieldOf.count ?? 0) + 1}`;
  const description = schema.description ?? "";
  const hint = HINTS[kind]?.exec(description)?.[1];
  const about = hint && element("small", { id: `${id}-hint` }, hint);
  const made = MADE[kind](name, schema, { id, "aria-describedby": hint && about.id });
  const label = element("label", { for: id, title: `${name}: ${description}` }, word(name));
  const root = element("div", { class: `field ${kind}`, "data-name": name }, label, made.node, about);
  const field = { name, kind, root, take: () => {}, ...made };
  if (example !== undefined) field.set(example);
  return field;
}

// Text of a cell as JSON. `types`: what it may be beside a text.
function cellOf(text, types) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (types.includes("boolean") && /^(true|false)$/i.test(trimmed)) return /^true$/i.test(trimmed);
  return types.includes("number") && Number.isFinite(Number(trimmed)) ? Number(trimmed) : text;
}

function cell(name, schema, attributes) {  // "12 %" stays a text, which the model reads as in training
  const input = element("input", { ...attributes, placeholder: "missing", autocomplete: "off", spellcheck: "false" });
  const types = ["number"];
  return {
    node: input,
    get: () => cellOf(input.value, types),
    set: (value) => {
      if (typeof value === "boolean") types.push("boolean");
      input.value = value ?? "";
    },
  };
}

function category(name, schema, attributes) {
  const known = schema.examples.map(String);
  const types = schema.examples.map((value) => typeof value);
  const select = element("select", attributes, element("option", { value: "" }, "missing"),
    ...known.map((value, i) => element("option", { value: i }, value)),
    element("option", { value: "other" }, "another value ..."));
  const other = element("input", { hidden: true, "aria-label": `another value of ${name}`, autocomplete: "off" });
  select.addEventListener("change", () => {
    other.hidden = select.value !== "other";
    if (!other.hidden) other.focus();
  });
  return {
    node: element("div", {}, select, other),
    get: () => {
      if (select.value === "other") return cellOf(other.value, types);
      return select.value === "" ? null : schema.examples[select.value];
    },
    set: (value) => {
      const place = known.indexOf(String(value));
      select.value = value == null ? "" : place < 0 ? "other" : place;
      other.hidden = select.value !== "other";
      other.value = other.hidden ? "" : value;
    },
  };
}

const DATES = { date: /^\d{4}-\d\d-\d\d$/, "datetime-local": /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$/ };

function date(name, schema, attributes) {  // a picker where the value fits one, else as the training data wrote it
  const input = element("input", { ...attributes, step: "1", placeholder: "missing", autocomplete: "off" });
  return {
    node: input,
    get: () => input.value.trim().replace(/T\d\d:\d\d$/, "$&:00") || null,  // a picker leaves out seconds that are 0
    set: (value) => {
      const written = String(value ?? "").replace(/^(\d{4}-\d\d-\d\d) (?=\d\d:)/, "$1T");
      const type = Object.keys(DATES).find((type) => DATES[type].test(written));
      if (value != null) input.type = type ?? "text";
      input.value = type ? written : value ?? "";
    },
  };
}

function text(name, schema, attributes) {
  const area = element("textarea", { ...attributes, rows: "3" });
  const field = {
    get: () => area.value === "" ? null : area.value,
    set: (value) => {
      area.value = value ?? "";
      area.rows = area.value.length > LONG ? 10 : 3;
    },
    take: async (file) => field.set(await file.text()),
  };
  return { ...field, node: withFile(area, field, ".txt,.md,text/plain", `a text for ${name}`) };
}

function series(name, schema, attributes) {
  const area = element("textarea", { ...attributes, rows: "4", spellcheck: "false", placeholder: "1.2, 3, 4.5 ..." });
  const channels = schema.anyOf.find((form) => form.items?.type === "array")?.minItems;
  const line = element("div", { class: "line" });
  const field = {
    get: () => {
      if (!area.value.trim()) throw new Error(`${name}: there are no numbers yet; paste them, or choose a file.`);
      return numbers(area.value, name, channels === 1 && schema.anyOf.length > 1);
    },
    set: (value) => {
      area.value = typeof value === "string" ? value : value == null ? "" : JSON.stringify(value);
      draw();
    },
    take: async (file) => field.set(await file.text()),
  };
  const draw = () => {
    try {
      line.replaceChildren(sparkline(field.get()));
    } catch {
      line.replaceChildren();
    }
  };
  area.addEventListener("input", draw);
  const node = element("div", {}, line, withFile(area, field, ".csv,.tsv,.json,.txt", `numbers for ${name}`));
  return { ...field, node };
}

function sparkline(value) {  // of the first channels
  const rows = (Array.isArray(value[0]) ? value : [value]).slice(0, 4);
  const known = rows.flat().filter((x) => x !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const size = known.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  const paths = rows.map((row, i) => svg("polyline", { class: `stroke s${i}`, points: row
    .map((x, at) => x === null ? "" : `${(100 * at) / Math.max(1, row.length - 1)},${29 - (28 * (x - low)) / size}`).join(" ") }));
  return svg("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" }, ...paths);
}

function media(name, schema, attributes) {
  const picture = kindOf(schema) === "picture";
  const chooser = element("input", { ...attributes, type: "file", accept: picture ? "image/*" : "audio/*,.wav" });
  const seen = element("div", { class: "seen" });
  const clear = element("button", { type: "button", class: "plain", hidden: true }, "Remove");
  let value = null;
  const field = {
    get: () => value,
    set: (given) => {
      chooser.value = "";
      look(given, typeof given === "string" ? "a file as base64" : size(given));
      if (picture && Array.isArray(given)) seen.prepend(painted(given));
    },
    take: async (file) => {
      const read = new FileReader();
      await new Promise((done, failed) => {
        read.onload = done;
        read.onerror = () => failed(new Error(`${name}: ${file.name} cannot be read.`));
        read.readAsDataURL(file);
      });
      look(read.result.slice(read.result.indexOf(",") + 1), `${file.name}, ${plain(Math.ceil(file.size / 1000))} kB`);
      const view = element(picture ? "img" : "audio", { src: URL.createObjectURL(file), alt: picture && file.name, controls: !picture });
      view.addEventListener("error", () => view.remove());  // the server may know a format that the browser does not
      seen.prepend(view);
    },
  };
  const look = (given, words) => {
    value = given ?? null;
    for (const old of seen.querySelectorAll("[src]")) URL.revokeObjectURL(old.src);
    seen.replaceChildren(element("span", { class: "note" }, word(value === null ? `No ${picture ? "picture" : "sound"} yet` : words)));
    clear.hidden = value === null;
  };
  look(null);
  const node = dropped(element("div", { class: "drop" }, seen, chooser, clear), field, chooser);
  clear.addEventListener("click", () => {
    field.set(null);
    node.dispatchEvent(new Event("change", { bubbles: true }));
  });
  return { ...field, node };
}

const size = (value) => Array.isArray(value) ? `the example, ${shape(value).join(" × ")} numbers` : String(value);
const shape = (value) => Array.isArray(value) ? [value.length, ...shape(value[0])] : [];

function painted(grid) {  // a picture of numbers, from its darkest to its brightest
  const [height, width] = shape(grid);
  const known = grid.flat(2);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const span = known.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
  const data = new ImageData(width, height);
  grid.flat().forEach((pixel, i) => {
    const colours = [pixel].flat().map((x) => (255 * (x - low)) / span);
    data.data.set([colours[0], colours[1] ?? colours[0], colours[2] ?? colours[0], 255], 4 * i);
  });
  const canvas = element("canvas", { width, height, role: "img", "aria-label": "the example" });
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

function withFile(area, field, accept, what) {
  const chooser = element("input", { type: "file", accept, "aria-label": what });
  return dropped(element("div", { class: "drop" }, area, chooser), field, chooser);
}

function dropped(node, field, chooser) {  // a file comes by drop or by choice; the row has changed once it was read
  const over = (is) => (event) => {
    event.preventDefault();
    node.classList.toggle("over", is);
  };
  const take = async (file) => {
    if (!file) return;
    if (file.size > LARGEST) throw new Error(`${file.name} has ${plain(Math.round(file.size / 1e6))} MB; at most ${LARGEST / 1e6} are sent.`);
    await field.take(file);
    node.dispatchEvent(new Event("change", { bubbles: true }));
  };
  node.addEventListener("dragover", over(true));
  node.addEventListener("dragleave", over(false));
  node.addEventListener("drop", (event) => {
    over(false)(event);
    event.stopPropagation();
    return take(event.dataTransfer.files[0]);
  });
  chooser.addEventListener("change", (event) => {
    event.stopPropagation();
    return take(chooser.files[0]);
  });
  return node;
}
