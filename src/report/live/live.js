"use strict";
// Text of the server goes into the page through textContent alone.
const at = (id) => document.getElementById(id);
const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
};
const bytes = (count) => {
  if (count === null || count === undefined) return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1023.95 && unit < 4) { count /= 1024; unit += 1; }
  return (unit ? count.toFixed(1) : count) + " " + units[unit];
};
const time = (ns) => ns < 1e6 ? (ns / 1e3).toFixed(1) + " us" : ns < 1e9 ? (ns / 1e6).toFixed(2) + " ms" : (ns / 1e9).toFixed(2) + " s";
const count = (figure) => Math.round(figure).toLocaleString("en");
const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);
const ended = (report, failed) =>
  sum(report.operations.filter((one) => !failed || one.error !== null).map((one) => sum(one.counts)));

// The hit ratio and bytes of a pool with a capacity: the last point of its curve that is not above it.
const pointAt = (curve, capacity) => {
  let found = { capacity: 0, hit_ratio: 0, bytes: 0 };
  for (const point of curve) if (point.capacity <= capacity) found = point;
  return found;
};

const overall = (report) => {
  for (const kind of ["round_trip", "message"]) {
    const found = report.latencies.find((one) => one.kind === kind && one.windows.length);
    if (found) return found.windows[0];
  }
  return null;
};

const ratesBetween = (before, now) => {
  const ms = before ? now.uptime_ms - before.uptime_ms : 0;
  if (ms <= 0 || before.server.pid !== now.server.pid) return null;
  const perSecond = (figure) => Math.max(0, figure(now) - figure(before)) * 1000 / ms;
  return {
    requests: perSecond((report) => ended(report, false)),
    errors: perSecond((report) => ended(report, true)),
    cpu: perSecond((report) => report.usage.cpu_ms || 0) / 10,
  };
};

let before = null;
let paused = false;
const history = { rate: [], p99: [] };
const chosen = new Map();

const fill = (node, children) => node.replaceChildren(...children);
const rowOf = (cells, tag) => {
  const row = make("tr");
  for (const cell of cells) row.append(make(tag || "td", cell));
  return row;
};

const showFigures = (report, rates) => {
  const latency = overall(report);
  const limit = report.pressure.limit_bytes;
  const shown = [
    ["Resident", bytes(report.usage.rss_bytes) + (limit ? " of " + bytes(limit) : "")],
    ["Heap", bytes(report.usage.heap_bytes)],
    ["Pressure", report.pressure.level, report.pressure.level !== "normal"],
    ["Requests", rates ? count(rates.requests) + "/s" : "-"],
    ["Errors", rates ? count(rates.errors) + "/s" : "-", rates && rates.errors > 0],
    ["Processor", rates ? rates.cpu.toFixed(0) + " %" : "-"],
    ["99 % within", latency ? time(latency.p99_ns) : "-"],
    ["Connections", count(report.traffic.connections)],
    ["Sessions", count(report.traffic.sessions)],
    ["In flight", count(report.traffic.in_flight)],
    ["Refused", count(report.pressure.refused)],
  ];
  fill(at("figures"), shown.map(([name, value, bad]) => {
    const figure = make("div");
    figure.append(make("dt", name), make("dd", value, bad ? "bad" : ""));
    return figure;
  }));
};

const showChart = (id, values) => {
  const top = Math.max(1, ...values);
  const points = values.map((value, x) => x + "," + (46 - value / top * 44).toFixed(1)).join(" ");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", points);
  fill(at(id), [line]);
};

const showWaterfall = (report) => {
  const parts = report.parts.filter((part) => part.bytes > 0).sort((one, other) => other.bytes - one.bytes);
  const all = Math.max(1, sum(parts.map((part) => part.bytes)));
  let begin = 0;
  fill(at("waterfall"), parts.map((part) => {
    const row = make("div", undefined, "fall");
    const track = make("div", undefined, "track");
    const bar = make("div", undefined, part.is_heap ? "bar" : "bar pages");
    bar.style.left = begin / all * 100 + "%";
    bar.style.width = part.bytes / all * 100 + "%";
    begin += part.bytes;
    track.append(bar);
    row.append(make("span", part.name), track, make("span", bytes(part.bytes), "size"));
    return row;
  }));
};

const poolCard = (pool) => {
  const card = make("div", undefined, "pool");
  const slider = make("input");
  const effect = make("p");
  const copy = make("button", "Copy the setting");
  copy.type = "button";
  slider.type = "range";
  slider.min = 0;
  slider.setAttribute("aria-label", "Capacity of " + pool.name);
  const state = { pool, card, slider, now: make("p"), effect, copy };
  slider.addEventListener("input", () => { chosen.set(pool.name, Number(slider.value)); drawPool(state); });
  copy.addEventListener("click", async () => {
    const text = state.pool.setting + " = " + slider.value;
    try { await navigator.clipboard.writeText(text); copy.textContent = "Copied: " + text; }
    catch { copy.textContent = text; }
  });
  card.append(make("h3", pool.name), state.now, slider, effect, copy);
  return state;
};

const drawPool = (state) => {
  const { pool, slider, now, effect, copy } = state;
  const last = pool.curve.length ? pool.curve[pool.curve.length - 1].capacity : pool.maximum;
  slider.max = Math.max(last, pool.capacity);
  const capacity = chosen.has(pool.name) ? chosen.get(pool.name) : pool.capacity;
  slider.value = capacity;
  const ratio = pool.hit_ratio_1m ?? pool.hit_ratio_1h;
  const advice = pool.advice ? ", advised " + count(pool.advice.capacity) : "";
  now.textContent = "now " + count(pool.capacity) + advice + ", hits " +
    (ratio === null || ratio === undefined ? "-" : (ratio * 100).toFixed(1) + " %") + ", idle " + bytes(pool.idle_bytes);
  const point = pointAt(pool.curve, capacity);
  effect.textContent = pool.curve.length
    ? "with " + count(capacity) + ": hits " + (point.hit_ratio * 100).toFixed(1) + " %, at most " + bytes(point.bytes) + " idle"
    : "not used enough to say";
  copy.hidden = !pool.setting;
};

const pools = new Map();
const showPools = (report) => {
  const used = report.pools.filter((pool) => pool.hits + pool.misses > 0);
  for (const pool of used) {
    let state = pools.get(pool.name);
    if (!state) {
      state = poolCard(pool);
      pools.set(pool.name, state);
      at("pools").append(state.card);
    }
    state.pool = pool;
    drawPool(state);
  }
};

const showLists = (report) => {
  const active = report.alerts.filter((alert) => alert.resolved_unix_ms === null);
  fill(at("alerts"), active.length
    ? active.map((alert) => make("li", alert.subject + " " + alert.what + "; " + alert.against + ". Likely cause: " + alert.cause, "bad"))
    : [make("li", "none")]);
  const named = (report.hotspots.clients || []).map((one) => [one.client, bytes(one.bytes), "-"]);
  const clients = named.concat(report.hotspots.connections.map((one) => [one.peer + " #" + one.number, bytes(one.bytes), bytes(one.queued_bytes)]))
    .concat(report.hotspots.sessions.map((one) => ["session #" + one.number + (one.client ? " of " + one.client : ""), bytes(one.bytes), "-"]));
  fill(at("clients"), [rowOf(["client", "holds", "unread"], "th"), ...clients.map((cells) => rowOf(cells))]);
  fill(at("named"), [rowOf(["client", "requests", "errors", "p50", "p99", "answers"], "th"),
    ...(report.clients || []).slice(0, 12).map((one) => rowOf([one.name || "(no name)", count(one.requests), count(one.errors), time(one.p50_ns), time(one.p99_ns), bytes(one.answer_bytes)]))]);
  const slow = report.latencies.filter((one) => one.kind === "tool" || one.kind === "method")
    .map((one) => [one.name, one.windows.find((window) => window.window_s === 60)])
    .filter(([, window]) => window).sort((one, other) => other[1].p95_ns - one[1].p95_ns).slice(0, 12);
  fill(at("tools"), [rowOf(["tool or method", "calls", "p50", "p95", "p99"], "th"),
    ...slow.map(([name, window]) => rowOf([name, count(window.count), time(window.p50_ns), time(window.p95_ns), time(window.p99_ns)]))]);
};

const show = (report) => {
  const rates = ratesBetween(before, report);
  before = report;
  if (rates) {
    history.rate.push(rates.requests);
    history.p99.push((overall(report) || { p99_ns: 0 }).p99_ns);
    for (const values of Object.values(history)) if (values.length > 240) values.shift();
  }
  if (paused) return;
  at("name").textContent = report.server.name + " " + report.server.version;
  document.title = report.server.name + ": mcpool";
  at("state").textContent = "process " + report.server.pid + ", " + new Date(report.taken_unix_ms).toISOString().slice(11, 19) + " UTC";
  showFigures(report, rates);
  showChart("rate", history.rate);
  showChart("p99", history.p99);
  showWaterfall(report);
  showPools(report);
  showLists(report);
};

if (typeof EventSource !== "undefined") {
  at("pause").addEventListener("click", () => {
    paused = !paused;
    at("pause").textContent = paused ? "Go on" : "Pause";
  });
  const events = new EventSource("/events");
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => { at("state").textContent = "the server does not answer"; };
}
