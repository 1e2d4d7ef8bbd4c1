// Rows and series that were pasted or dropped as text.

const SEPARATORS = ["\t", ";", ","];  // a comma may be within a number

// A row of a text: name -> value. `names`: the fields in order. Throws an Error with one line.
export function rowOf(text, names) {
  const trimmed = text.trim();
  if (!trimmed) throw new Error("There is nothing to fill in.");
  if (/^[[{]/.test(trimmed)) {
    const told = json(trimmed);
    const row = Array.isArray(told) ? told[0] : told.rows?.[0] ?? told;
    if (Array.isArray(row) || typeof row !== "object" || row === null) throw new Error("That JSON is no object of fields.");
    return row;
  }
  const read = SEPARATORS.map((by) => named(csv(trimmed, by), names));
  const { head, cells } = read.find(({ head, cells }) => cells.length === head.length) ?? read.reduce((a, b) => b.cells.length > a.cells.length ? b : a);
  if (head === names && cells.length !== names.length) {
    throw new Error(`That line has ${cells.length} values, and the model takes ${names.length}: ${names.slice(0, 5).join(", ")}${names.length > 5 ? " ..." : ""}.`);
  }
  return Object.fromEntries(head.map((name, i) => [name, cells[i] || null]));
}

function named([first = [""], second], names) {  // the first line names the fields where most of it are names
  const head = first.map((name) => name.trim());
  const is = second && head.filter((name) => names.includes(name)).length > head.length / 2;
  return is ? { head, cells: second } : { head: names, cells: first };
}

// Numbers of a series: a list, or a list of lists. `flat`: a list where there is one line or one column of them.
export function numbers(text, name, flat) {
  const trimmed = text.trim();
  let lines = trimmed.startsWith("[") ? json(trimmed) : null;
  if (lines === null) {
    const by = SEPARATORS.find((one) => trimmed.includes(one)) ?? " ";
    lines = csv(by === " " ? trimmed.replace(/ +/g, " ") : trimmed, by);
    if (lines.length > 1 && lines[0].some((cell) => !isNumber(cell))) lines = lines.slice(1);  // its head
    lines = lines.map((line, i) => line.map((cell) => {
      if (!isNumber(cell)) throw new Error(`${name}: '${cell.slice(0, 40)}' in line ${i + 1} is no number.`);
      return GAP.test(cell.trim()) ? null : Number(cell.replace(",", "."));
    }));
  }
  if (flat && lines.every((line) => Array.isArray(line))) {
    if (lines.length === 1) return lines[0];
    if (lines.every((line) => line.length === 1)) return lines.flat();
  }
  return lines;
}

const GAP = /^(|nan|null|na)$/i;
const isNumber = (cell) => GAP.test(cell.trim()) || Number.isFinite(Number(cell.replace(",", ".")));

function json(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`That JSON cannot be read: ${error.message}.`);
  }
}

// Lines of cells (RFC 4180).
function csv(text, by) {
  const lines = [[]];
  let cell = "", quoted = false;
  const end = () => { lines.at(-1).push(cell); cell = ""; };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted && c === '"' && text[i + 1] === '"') cell += text[++i];
    else if (c === '"' && (quoted || cell === "")) quoted = !quoted;
    else if (!quoted && c === by) end();
    else if (!quoted && c === "\n") { end(); lines.push([]); }
    else if (quoted || c !== "\r") cell += c;
  }
  end();
  return lines.filter((line) => line.length > 1 || line[0] !== "");
}
