// The page: its controls, and what they show. Their values are kept after the # of the address, so a
// link has them, and a reload keeps them.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const byNumber = new Map(data.points.map(p => [p.number, p]));
const KINDS = {
  other: {name: data.others, look: "other", shape: "cross"},
  dominated: {name: "dominated", look: "dominated", shape: "circle"},
  frontier: {name: "on the frontier", look: "frontier", shape: "diamond"},
  baseline: {name: "baseline", look: "baseline", shape: "star"},
};
const KEPT = ["budget", "percentile", "drop", "prefer", "runner", "batch", "scheme", "across", "up", "one", "two"];
const numberIn = id => (at(id).value === "" ? null : Number(at(id).value));

function html(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function fill(id, values, texts = values) {
  const known = new Set([...at(id).options].map(o => o.value));
  values.forEach((value, place) => known.has(String(value)) || at(id).add(new Option(texts[place], value)));
}

const kindOf = p => KINDS[p.baseline ? "baseline" : p.frontier ? "frontier" : p.choice ? "dominated" : "other"];
const titled = name => `${name}${data.metrics[name].log ? " (log scale)" : ""}, ${data.metrics[name].up ? "higher" : "lower"} is better`;
const textOf = (p, name) => (p.texts[name] ? p.texts[name][0] + (p.texts[name][1] ? ` (${p.texts[name][1]})` : "") : "–");
const wordsOf = p => [`trial ${p.number}${p.baseline ? ", the baseline" : ""}: ${p.label}`, kindOf(p).name, ...Object.keys(data.metrics).map(name => `${name} ${textOf(p, name)}`), ...p.notes].join("; ");

function wished() {
  return {
    max_latency_ms: numberIn("budget"),
    percentile: at("percentile").value,
    max_quality_drop: numberIn("drop"),
    min_quality: data.wish.min_quality ?? null,
    prefer: at("prefer").value || null,
    batch_size: numberIn("batch"),
    runner: at("runner").value || null,
  };
}

function command(wish) {
  const quoted = /^[\w./-]+$/.test(data.study) ? data.study : `'${data.study.replaceAll("'", "'\\''")}'`;
  const options = [
    ["--max-latency-ms", wish.max_latency_ms], ["--percentile", wish.percentile === "p95" ? null : wish.percentile],
    ["--max-accuracy-drop", wish.max_quality_drop], ["--min-accuracy", wish.min_quality], ["--prefer", wish.prefer],
    ["--batch-size", wish.batch_size], ["--runner", wish.runner],
  ];
  return ["paretune pick", quoted, ...options.filter(([, value]) => value != null).map(([name, value]) => `${name} ${value}`)].join(" ");
}

function showPick() {
  const wish = wished(), found = pick(data.rule, wish), shown = at("picked");
  if (!found.picked) {
    shown.replaceChildren(html("p", {}, `${found.reason} Raise the budget or allow a larger drop.`));
    return null;
  }
  const p = byNumber.get(found.picked.number);
  const others = found.equals.filter(e => e.number !== p.number).map(e => e.number);
  const metric = data.rule.percentiles[wish.percentile].metric;
  shown.replaceChildren(
    html("p", {}, html("strong", {}, `Trial ${p.number}: ${p.label}`)),
    html("p", {}, [...new Set([data.quality, ...(p.texts[metric] ? [metric] : []), ...Object.keys(data.metrics)])].slice(0, 4).map(name => `${name} ${textOf(p, name)}`).join("; ")),
    html("p", { class: "muted" }, `${found.fitting.length} of ${data.rule.points.length} points fit, by the unfavourable ends of their times.` +
      (others.length ? ` It cannot be told apart from trial ${others.join(", ")} in what is preferred, within one standard error.` : "")),
    html("p", {}, "The same from the command line, which measures it again first: ", html("code", {}, command(wish))),
  );
  return p;
}

function isShown(p) {
  return ["runner", "batch", "scheme"].every((id, place) => !at(id).value || String([p.runner, p.batch_size, p.scheme][place]) === at(id).value);
}

function draw(picked) {
  const [across, up] = [at("across").value, at("up").value];
  const order = Object.values(KINDS);
  const points = data.points.filter(p => isShown(p) && p.values[across]?.[0] != null && p.values[up]?.[0] != null).sort((a, b) => order.indexOf(kindOf(a)) - order.indexOf(kindOf(b)));
  for (const row of document.querySelectorAll("tr[data-number]")) row.hidden = !isShown(byNumber.get(Number(row.dataset.number)));
  if (!points.length) return at("frontier").replaceChildren("No point has all of these.");
  const metric = data.rule.percentiles[at("percentile").value]?.metric;
  scatter(
    at("frontier"),
    points.map(p => ({...p, x: p.values[across], y: p.values[up], kind: kindOf(p), words: wordsOf(p), isPicked: p === picked, isNamed: p === picked || p.frontier || p.baseline})),
    {title: titled(across), log: data.metrics[across].log, limit: across === metric ? numberIn("budget") : null},
    {title: titled(up), log: data.metrics[up].log},
    `${points.length} points: ${up} against ${across}, with 95 % intervals`,
    {chosen: p => compareWith(p.number), read: p => (at("readout").textContent = wordsOf(p))},
  );
}

let isChosen = false;
function compareWith(number) {
  isChosen = true;
  at("two").value = number;
  update();
}

function table(heads, rows) {
  const head = html("tr", {}, ...heads.map((text, place) => html("th", {scope: "col", ...(place ? {} : {class: "text"})}, text)));
  return html("table", {}, html("thead", {}, head), html("tbody", {}, ...rows.map(([first, ...cells]) => html("tr", {}, html("th", {scope: "row"}, first), ...cells.map(cell => html("td", {}, cell))))));
}

function withInterval(texts) {
  if (!texts) return "–";
  return html("span", {}, texts[0], ...(texts[1] ? [" ", html("small", {}, texts[1])] : []));
}

function compare() {
  const pair = ["one", "two"].map(id => byNumber.get(Number(at(id).value)));
  const heads = pair.map(p => `trial ${p.number}${p.baseline ? " (baseline)" : ""}`);
  at("comparison").replaceChildren(table(["metric", ...heads, "ratio"], Object.keys(data.metrics).map(name => {
    const ratio = pair[1].values[name]?.[0] / pair[0].values[name]?.[0];
    return [name, ...pair.map(p => withInterval(p.texts[name])), isFinite(ratio) ? `${ratio.toFixed(3)} ×` : ""];
  })));
  showOperators(pair, heads);
  showLayers(pair[1]);
}

function showOperators(pair, heads) {
  const names = [...new Set(pair.flatMap(p => p.operators.map(([name]) => name)))];
  if (!names.length) {
    at("operators").replaceChildren("Neither trial has times by operator: an earlier version measured them, they ran on a card, or each operator took less than the microsecond that the profile's clock tells apart.");
    return;
  }
  const cell = (p, name) => {
    const own = p.operators.filter(each => each[0] === name);
    if (!own.length) return p.operators.length ? "–" : "not recorded";
    const share = own.reduce((sum, each) => sum + each[2], 0), nodes = own.reduce((sum, each) => sum + each[1], 0);
    return html("span", {}, html("span", {class: "share", style: `width: ${(6 * share).toFixed(2)}rem`}), `${(100 * share).toFixed(1)} % `, html("small", {}, `${nodes} ${nodes === 1 ? "node" : "nodes"}`));
  };
  const time = p => withInterval(p.texts.latency_p50_ms);
  at("operators").replaceChildren(
    table(["operator", ...heads.map(head => `${head}: share of the operators' time`)], [
      ["whole call, latency_p50_ms", ...pair.map(time)],
      ...names.map(name => [name, ...pair.map(p => cell(p, name))]),
    ]),
    html("p", {class: "muted"}, "Shares are from the runtime's own profile of a few calls. The runtime may fuse and rename operators."),
  );
}

function showLayers(p) {
  const {left = [], bargains = [], ranked = 0, quantized = 0, unit} = p.layers;
  const said = [];
  if (p.scheme === "fp32") said.push(`Trial ${p.number} is not quantized.`);
  else if (!Object.keys(p.layers).length) said.push(`The file of trial ${p.number} was not read: only those of the frontier are, while the store has them.`);
  else if (ranked) said.push(`${quantized} of ${ranked} layers that ${p.scheme} takes are quantized in trial ${p.number}.`);
  else said.push(`Trial ${p.number} is quantized with ${p.scheme}${left.length ? "" : ", in every layer that the scheme takes"}.`);
  if (left.length) said.push(` Left as they were: ${left.join(", ")}.`);
  const shown = [html("p", {}, said.join(""))];
  if (bargains.length) {
    shown.push(table(["layer", `gain, ${unit}`, "change of the outputs", "quantized"], bargains.map(b => [b.layer, b.gain, b.error, b.is_quantized ? "yes" : "no"])));
    shown.push(html("p", {class: "muted"}, "Measured before quantizing, one layer at a time. First are those that cost most accuracy for their gain."));
  }
  at("layers").replaceChildren(...shown);
}

function keep() {
  const kept = KEPT.filter(id => at(id).value !== "").map(id => `${id}=${encodeURIComponent(at(id).value)}`);
  history.replaceState(null, "", `#${kept.join("&")}${isChosen ? "&chosen" : ""}`);
}

function update() {
  const picked = showPick();
  if (picked && !isChosen) at("two").value = picked.number;
  draw(picked);
  compare();
  keep();
}

// The slider goes through the points' own times on a logarithmic scale; its right end is no budget.
function slide(ends) {
  const steps = Number(at("slider").max), place = Number(at("slider").value);
  const value = Math.exp(Math.log(ends[0]) + (Math.log(ends[1] / ends[0]) * place) / (steps - 1));
  at("budget").value = place === steps ? "" : Number(value.toPrecision(3));
  update();
}

function start() {
  const rule = data.rule, metrics = Object.keys(data.metrics), unique = key => [...new Set(data.points.map(p => p[key]))];
  fill("percentile", Object.keys(rule.percentiles));
  fill("prefer", ["accuracy", "latency", ...Object.keys(rule.preferred)], [data.quality, "latency", ...Object.keys(rule.preferred)]);
  fill("runner", unique("runner").sort());
  fill("batch", unique("batch_size").sort((a, b) => a - b));
  fill("scheme", unique("scheme").sort());
  fill("across", metrics);
  fill("up", metrics);
  const numbers = data.points.map(p => p.number), texts = data.points.map(p => `trial ${p.number}: ${p.label}`);
  for (const id of ["one", "two"]) fill(id, numbers, texts);
  const first = {percentile: "p95", across: data.latency, up: data.quality, one: numbers[0], two: numbers.at(-1),
    budget: data.wish.max_latency_ms, drop: data.wish.max_quality_drop, batch: data.wish.batch_size};
  if (data.wish.percentile in rule.percentiles) first.percentile = data.wish.percentile;
  const kept = new URLSearchParams(location.hash.slice(1));
  isChosen = kept.has("chosen");
  for (const id of KEPT) {
    const before = at(id).value;
    at(id).value = location.hash.length > 1 ? kept.get(id) ?? "" : first[id] ?? before;
    if (at(id).tagName === "SELECT" && at(id).selectedIndex < 0) at(id).value = before;
  }
  const latest = rule.points.map(p => p.worst[rule.percentiles[at("percentile").value].metric]);
  at("slider").addEventListener("input", () => slide([Math.min(...latest), Math.max(...latest)]));
  for (const id of KEPT) at(id).addEventListener(at(id).type === "number" ? "input" : "change", () => {
    if (id === "one" || id === "two") isChosen = true;
    update();
  });
  for (const button of document.querySelectorAll("[data-compare]")) button.addEventListener("click", () => compareWith(Number(button.dataset.compare)));
  for (const kind of Object.values(KINDS).filter(kind => data.points.some(p => kindOf(p) === kind))) at("legend").append(html("li", {}, svg("svg", {viewBox: "-10 -10 20 20", class: kind.look, "aria-hidden": true}, svg("path", {d: SHAPES[kind.shape]})), ` ${kind.name}`));
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width === width) return;
    width = entry.contentRect.width;
    update();
    steps(at("hypervolume"), data.hypervolume, "trial", "hypervolume");
  }).observe(at("frontier"));
}

start();
