// Charts as SVG, drawn anew for the width that there is.
import { element, percent, rough, svg } from "./dom.js";

const HEIGHT = 170, LEFT = 52, RIGHT = 10, TOP = 8, BOTTOM = 22;
const DAY = 86400;

// Numbers over time. `spans`: begin and end of each point, seconds since 1970, rising. `series`: name, values (null: a
// gap), and `bars: true` for columns. `levels`: name and value of lines across. `zero`: the axis begins there.
export function overTime({ title, spans, series, levels = [], zero = false, format = rough }) {
  const known = [...series.flatMap(({ values }) => values), ...levels.map(({ value }) => value)].filter((v) => v != null);
  const ticks = ticksOf(zero ? 0 : Math.min(...known), Math.max(...known));
  return figure(title, [...series, ...levels], (size) => {
    const begin = spans[0][0], end = spans.at(-1)[1];
    const x = (time) => LEFT + ((size - LEFT - RIGHT) * (time - begin)) / (end - begin);
    const y = heights(ticks);
    const drawn = series.map(({ values, bars }, i) => bars
      ? values.map((value, at) => value && column(x(spans[at][0]), x(spans[at][1]), y(value), y(ticks[0]), `${clock(spans[at][0], end - begin)}: ${format(value)}`))
      : line(values.map((value, at) => value == null ? null : [x((spans[at][0] + spans[at][1]) / 2), y(value)]), i));
    const across = levels.map(({ value }, i) => svg("path", { class: `stroke s${series.length + i}`, d: `M${LEFT} ${y(value)}H${size - RIGHT}` }));
    const marks = Math.max(2, Math.min(6, Math.floor(size / 150)));
    const clocks = Array.from({ length: marks }, (_, i) => {
      const time = begin + ((end - begin) * i) / (marks - 1);
      const anchor = i === 0 ? "start" : i === marks - 1 ? "end" : "middle";
      return svg("text", { x: x(time), y: HEIGHT - 6, "text-anchor": anchor }, clock(time, end - begin));
    });
    return [...grid(ticks, y, size, format), ...drawn.flat(), ...across, ...clocks];
  });
}

// Numbers after each epoch. `series`: name, values (null: a gap); at most four.
export function overEpochs({ title, series }) {
  const known = series.flatMap(({ values }) => values).filter((v) => v != null);
  const ticks = ticksOf(Math.min(...known), Math.max(...known));
  const most = Math.max(2, ...series.map(({ values }) => values.length));
  return figure(title, series, (size) => {
    const x = (epoch) => LEFT + ((size - LEFT - RIGHT) * (epoch - 1)) / (most - 1);
    const y = heights(ticks);
    const drawn = series.map(({ values }, i) => line(values.map((value, at) => value == null ? null : [x(at + 1), y(value)]), i));
    const marks = Array.from(new Set([1, Math.round((1 + most) / 2), most]));
    const words = marks.map((epoch, i) => svg("text", {
      x: x(epoch), y: HEIGHT - 6, "text-anchor": i === 0 ? "start" : i === marks.length - 1 ? "end" : "middle",
    }, i === marks.length - 1 ? `epoch ${epoch}` : epoch));
    return [...grid(ticks, y, size, rough), ...drawn.flat(), ...words];
  }, series.map((_, i) => `s${i}`), true);
}

const column = (left, right, top, bottom, words) => svg("rect", {
  class: "fill", x: left, width: Math.max(1, right - left - 1), y: top, height: bottom - top,
}, svg("title", {}, words));

// Shares before and now in bins from left to right. `labels`: of each bin its lower end, see GET /monitor.
export function bins({ title, labels, before, now }) {
  const ticks = ticksOf(0, Math.max(...before, ...now));
  return figure(title, [{ name: "training" }, { name: "now" }], (size) => {
    const y = heights(ticks);
    const step = (size - LEFT - RIGHT) / labels.length;
    const columns = labels.map((label, i) => {
      const [to] = /[^<> ].*/.exec(labels[i + 1] ?? "") ?? [];
      const words = /^[<>]/.test(label) || !to ? label : `${label} to ${to}`;
      const left = LEFT + i * step;
      const told = `${words}: ${percent(before[i])}, now ${percent(now[i])}`;
      return svg("g", {}, column(left + step * 0.15, left + step * 0.85 + 1, y(now[i]), y(0), told),
        svg("path", { class: "stroke s0", d: `M${left + step * 0.04} ${y(before[i])}h${step * 0.92}` }));
    });
    const every = Math.ceil(labels.length / Math.max(2, Math.floor(size / 80)));
    const words = labels.map((label, i) => i % every ? null
      : svg("text", { x: LEFT + (i + 0.5) * step, y: HEIGHT - 6, "text-anchor": "middle" }, label.slice(0, 12)));
    return [...grid(ticks, y, size, percent), ...columns, ...words.filter(Boolean)];
  }, ["s0", "fill"]);
}

// A title, the drawing, and what its lines mean. Drawn again when the width changes.
function figure(title, series, draw, classes = series.map((one, i) => one.bars ? "fill" : `s${i}`), always = false) {
  const picture = svg("svg", { role: "img", "aria-label": title, height: HEIGHT });
  const legend = series.length < 2 && !always ? null : element("p", { class: "legend" }, ...series.map(({ name }, i) => element("span", {},
    svg("svg", { "aria-hidden": "true" }, classes[i] === "fill"
      ? svg("rect", { class: "fill", width: 26, height: 8 }) : svg("path", { class: `stroke ${classes[i]}`, d: "M0 4h26" })), ` ${name}`)));
  const made = element("figure", {}, picture, legend);
  let drawn = 0;
  new ResizeObserver(() => {
    const size = Math.round(made.clientWidth);
    if (!size || size === drawn) return;
    drawn = size;
    picture.setAttribute("viewBox", `0 0 ${size} ${HEIGHT}`);
    picture.replaceChildren(...draw(size).filter(Boolean));
  }).observe(made);
  return made;
}

const heights = (ticks) => (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (ticks.at(-1) - value)) / (ticks.at(-1) - ticks[0]);

function grid(ticks, y, size, format) {
  return ticks.flatMap((tick) => [
    svg("path", { class: "grid", d: `M${LEFT} ${y(tick)}H${size - RIGHT}` }),
    svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, format(Number(tick.toPrecision(6)))),
  ]);
}

function line(points, i) {  // a stroke from neighbour to neighbour; one alone is a dot
  const runs = [[]];
  for (const point of points) point ? runs.at(-1).push(point) : runs.push([]);
  return runs.filter((run) => run.length).map((run) => svg("path", {
    class: `stroke s${i}${run.length > 1 ? "" : " dot"}`, d: `M${run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}${run.length > 1 ? "" : "h0"}`,
  }));
}

// About four even steps of 1, 2 or 5 that hold both ends.
function ticksOf(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) [low, high] = [Math.min(low, 0), Math.max(high, 0) || 1];
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

// Time of day, with the date where `span` seconds, or the time since, are more than a day.
export function clock(time, span = Date.now() / 1000 - time) {
  const of = new Date(1000 * time);
  const day = span > DAY ? `${of.getFullYear()}-${two(of.getMonth() + 1)}-${two(of.getDate())} ` : "";
  return `${day}${two(of.getHours())}:${two(of.getMinutes())}`;
}

const two = (number) => String(number).padStart(2, "0");
