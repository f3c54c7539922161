// Pictures as SVG: points with error bars on one or two logarithmic axes, and a stepped line.
"use strict";

const CHART = {left: 64, right: 16, top: 12, bottom: 44};
const SHAPES = {
  circle: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
  cross: "M-4-4L4 4M-4 4L4-4",
  diamond: "M0-7L7 0L0 7L-7 0z",
  star: "M0-9L2.6-3.1L8.6-2.8L3.9 1.2L5.3 7.3L0 3.9L-5.3 7.3L-3.9 1.2L-8.6-2.8L-2.6-3.1z",
};

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Return the ends of an axis: every value, and the intervals' ends unless they dwarf the values.
function domain(triples, isLog) {
  const values = triples.map(t => t[0]);
  const least = Math.min(...values), most = Math.max(...values);
  const span = most - least || Math.abs(most) * 0.1 || 1;
  const lowest = isLog ? least / 3 : least - span;
  const highest = isLog ? most * 3 : most + span;
  const low = Math.max(lowest, Math.min(least, ...triples.map(t => t[1] ?? t[0])));
  const high = Math.min(highest, Math.max(most, ...triples.map(t => t[2] ?? t[0])));
  if (isLog) return [low / 1.1, high * 1.1];
  const margin = (high - low || span) * 0.06;
  return [low - margin, high + margin];
}

// Return round values inside an axis: 1, 2, 5 in each decade, or equal steps.
function ticks(low, high, isLog, most = 7) {
  if (isLog && high / low > 4) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const digit of [1, 2, 5]) {
        const value = Number(`${digit}e${power}`);
        if (value >= low && value <= high) found.push(value);
      }
    const decades = found.filter(v => Number.isInteger(Math.round(Math.log10(v) * 1e9) / 1e9));
    return found.length > most && decades.length > 1 ? decades : found;
  }
  const rough = (high - low) / (most - 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find(digit => digit * power >= rough) * power;
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(Number((n * step).toPrecision(12)));
  return found;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6 || (size && size < 1e-3)) return value.toExponential(1).replace(".0", "").replace("+", "");
  return Number(value.toPrecision(4)).toLocaleString("en");
}

// Draw the frame; return the SVG and the places of values on both axes.
function frame(box, x, y, words) {
  const width = Math.max(280, box.clientWidth || 720);
  const height = box.classList.contains("low") ? 200 : Math.min(460, Math.max(320, width * 0.6));
  const {left, right, top, bottom} = CHART;
  const place = (axis, from, to) => value => {
    const [low, high] = axis.ends.map(end => (axis.log ? Math.log(end) : end));
    const at = axis.log ? Math.log(Math.max(value, 1e-300)) : value;
    return Math.max(-1e4, Math.min(1e4, from + ((at - low) / (high - low)) * (to - from)));
  };
  const px = place(x, left, width - right), py = place(y, height - bottom, top);
  const drawn = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": words});
  const clip = `${box.id}-clip`;
  drawn.append(svg("clipPath", {id: clip}, svg("rect", {x: left, y: top, width: width - left - right, height: height - top - bottom})));
  for (const value of ticks(...x.ends, x.log, width < 500 ? 4 : 7)) {
    drawn.append(svg("line", {class: "axis", x1: px(value), x2: px(value), y1: top, y2: height - bottom}));
    drawn.append(svg("text", {x: px(value), y: height - bottom + 16, "text-anchor": "middle"}, short(value)));
  }
  for (const value of ticks(...y.ends, y.log)) {
    drawn.append(svg("line", {class: "axis", x1: left, x2: width - right, y1: py(value), y2: py(value)}));
    drawn.append(svg("text", {x: left - 6, y: py(value) + 4, "text-anchor": "end"}, short(value)));
  }
  drawn.append(svg("text", {class: "name", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle"}, x.title));
  drawn.append(svg("text", {class: "name", transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle"}, y.title));
  const inside = svg("g", {"clip-path": `url(#${clip})`});
  drawn.append(inside);
  box.replaceChildren(drawn);
  return {drawn, inside, px, py};
}

// Draw points: each has x and y as [value, low, high], kind, words, number, isNamed. The axes have
// title and log, x may have a limit. Chosen and read are called with a point.
function scatter(box, points, x, y, words, {chosen, read}) {
  const axes = [["x", x], ["y", y]].map(([key, axis]) => ({...axis, ends: domain(points.map(p => p[key]), axis.log)}));
  const {drawn, inside, px, py} = frame(box, ...axes, words);
  if (x.limit != null) inside.append(svg("line", {class: "budget", x1: px(x.limit), x2: px(x.limit), y1: 0, y2: 1000}));
  for (const point of points) {
    const [cx, cy] = [px(point.x[0]), py(point.y[0])];
    const ends = (at, triple) => [at(triple[1] ?? triple[0]), at(triple[2] ?? triple[0])];
    const [left, right] = ends(px, point.x), [low, high] = ends(py, point.y);
    inside.append(svg("path", {class: `error ${point.kind.look}`, d: `M${left} ${cy}H${right}M${left} ${cy - 3}v6M${right} ${cy - 3}v6M${cx} ${low}V${high}M${cx - 3} ${low}h6M${cx - 3} ${high}h6`}));
  }
  const marks = [...points].map(point => {
    const mark = svg("g", {class: `point ${point.kind.look}`, transform: `translate(${px(point.x[0])} ${py(point.y[0])})`, role: "button", tabindex: -1, "aria-label": point.words});
    mark.append(svg("title", {}, point.words), svg("circle", {r: 11, fill: "transparent", stroke: "none"}), svg("path", {d: SHAPES[point.kind.shape]}));
    if (point.isPicked) mark.append(svg("circle", {class: "picked", r: 12}));
    if (point.isNamed) mark.append(svg("text", {class: "number", x: 10, y: point.isPicked ? 22 : -8}, point.isPicked ? `${point.number} picked` : point.number));
    mark.addEventListener("click", () => chosen(point));
    for (const event of ["focus", "pointerenter"]) mark.addEventListener(event, () => read(point));
    drawn.append(mark);
    return {mark, at: px(point.x[0])};
  });
  walk(drawn, marks.sort((a, b) => a.at - b.at).map(each => each.mark));
}

// One stop of the Tab key for all marks; arrow keys go from one to the next, Enter chooses.
function walk(drawn, marks) {
  if (marks.length) marks[0].setAttribute("tabindex", 0);
  drawn.addEventListener("keydown", event => {
    const now = marks.indexOf(document.activeElement);
    const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
    if (now < 0 || (!step && !["Enter", " "].includes(event.key))) return;
    event.preventDefault();
    if (!step) return marks[now].dispatchEvent(new Event("click"));
    const next = marks[Math.max(0, Math.min(marks.length - 1, now + step))];
    marks[now].setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}

function steps(box, values, xTitle, yTitle) {
  if (!values.length) return box.replaceChildren("There is no baseline to measure it from.");
  const axis = (place, title) => ({title, ends: domain(values.map(v => [v[place]]), false)});
  const last = values.at(-1);
  const {inside, px, py} = frame(box, axis(0, xTitle), axis(1, yTitle), `${yTitle} by ${xTitle}: ${short(values[0][1])} at first, ${short(last[1])} in the end`);
  const line = values.map(([x, y], place) => (place ? `H${px(x)}V${py(y)}` : `M${px(x)} ${py(y)}`));
  inside.append(svg("path", {class: "steps", d: line.join("")}));
}
