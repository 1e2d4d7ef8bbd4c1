// Elements and words. Text of others only ever becomes a text node or the value of an attribute.

export const at = (id) => document.getElementById(id);

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

// A word of the user's, which may run from right to left: what stands beside it stays where it is.
export const word = (text) => element("bdi", {}, String(text));

export function show(node, text) {  // an empty text hides the line
  node.textContent = text;
  node.hidden = !text;
}

export function plain(x) {  // a number as a person writes it
  if (x == null || Number.isNaN(x)) return "missing";
  const size = Math.abs(x);
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e").replace(/^-/, "\u2212");
  const digits = size >= 1e5 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 6 };
  return (x || 0).toLocaleString("en-US", digits).replace("-", "\u2212");
}

export const rough = (x) => plain(Number(x.toPrecision(3)));

export const signed = (x, text = plain) => (x > 0 ? "+" : "") + text(x);

export function percent(share) {  // never 0 or 100 for what is neither
  if (share == null) return "missing";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${Number((100 * share).toFixed(1))} %`;
}

export const many = (count, one, more = one + "s") => `${plain(count)} ${count === 1 ? one : more}`;

export function bar(share, kind = "") {  // a part of a line's width, in [0, 1]
  const part = element("i");
  part.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return element("span", { class: `meter ${kind}`, "aria-hidden": "true" }, part);
}

// The first of many, and the others behind a click.
export function first(count, items, draw, what) {
  const shown = items.slice(0, count).map(draw);
  if (items.length <= count) return shown;
  const rest = element("details", { "data-key": what }, element("summary", {}, `${plain(items.length - count)} more ${what}`));
  rest.addEventListener("toggle", () => rest.append(...items.slice(count).map(draw)), { once: true });
  return [...shown, rest];
}
