// The rule of `paretune pick` (choice.py and ranking.py explain it), on the inputs that pick_rule.py
// computed. A test compares the two.
"use strict";

// Return {picked, equals, fitting} as points, or {reason} if no point fits.
function pick(rule, wish) {
  const percentile = rule.percentiles[wish.percentile];
  if (!percentile) return {reason: "Not every point has this percentile."};
  const quality = rule.quality;
  const floors = [];
  if (wish.min_quality != null) floors.push(wish.min_quality);
  if (wish.max_quality_drop != null) {
    if (rule.baseline_quality == null) return {reason: "A drop needs a baseline that was measured in the same way."};
    floors.push(rule.baseline_quality - wish.max_quality_drop);
  }
  const floor = Math.max(...floors);
  const fitting = rule.points
    .map((point, place) => ({...point, place}))
    .filter(p => wish.batch_size == null || p.batch_size === wish.batch_size)
    .filter(p => wish.runner == null || p.runner === wish.runner)
    // A compressed model that is slower than the reference is not worth its quality.
    .filter(p => !percentile.slower.includes(p.number))
    .filter(p => wish.max_latency_ms == null || (p.worst[percentile.metric] ?? Infinity) <= wish.max_latency_ms)
    .filter(p => p.values[quality] >= floor);
  if (!fitting.length) return {reason: "No measured point fits."};
  const limitsOnlyQuality = floors.length > 0 && wish.max_latency_ms == null;
  const prefer = wish.prefer ?? (limitsOnlyQuality ? "latency" : "accuracy");
  return {...ranked(rule, fitting, prefer, percentile.compared), fitting};
}

// Return the best of some points, and those that cannot be told apart from the best value.
function ranked(rule, pool, prefer, latency) {
  const byQuality = prefer === "accuracy";
  const metric = {accuracy: rule.quality, latency, ...rule.preferred}[prefer];
  const second = byQuality ? latency : rule.quality;
  const speed = [latency, rule.throughput, rule.size];
  const loss = (point, name) => (rule.higher_is_better[name] ? -1 : 1) * point.values[name];
  const by = names => (a, b) => {
    for (const name of names) {
      const difference = loss(a, name) - loss(b, name);
      if (difference) return difference;
    }
    return a.number - b.number;
  };
  const best = [...pool].sort(by([metric, second, ...speed]))[0];
  const paired = byQuality && best.draws > 0 && pool.every(p => p.draws === best.draws);
  const error = point => {
    if (paired) return rule.pair_errors[best.place][point.place];
    if (byQuality) return best.errors[metric];
    return Math.hypot(point.errors[metric], best.errors[metric]);
  };
  const equals = pool.filter(p => loss(p, metric) - loss(best, metric) <= error(p));
  equals.sort(by(byQuality ? [...speed, metric] : [second, metric, ...speed]));
  const beats = (a, b) => {
    const gaps = [metric, second].map(name => loss(a, name) - loss(b, name));
    return gaps.every(gap => gap <= 0) && gaps.some(gap => gap < 0);
  };
  const picked = equals.find(p => !pool.some(other => beats(other, p)));
  return {picked, best, equals};
}
