// A run's page: charts fed once by REST, then by the live stream.
//
// Of a run that is trained here the page names the charts. A script may log anything, so there they
// are made of the metrics that come.

import { Chart } from "parts/chart";
import { Finder } from "parts/finder";
import { Live } from "lib/live";
import { View } from "parts/view";

const MAX_POINTS = 1500;
const MAX_LIVE_POINTS = 8000;
const LOST_WAIT_MS = 2000;
const RELOAD_EVERY_MS = 2000;
const EPISODE_KEYS = { "episode/return": "return", "episode/length": "length" };

const root = document.getElementById("charts");
const runId = root.dataset.run;
const curves = new Map();
let resumptions = [];
const view = new View(document.getElementById("chart-view"), changeView);
const source = { curve: (key) => curves.get(key), resumptions: () => resumptions, look, view };
const finder = "any" in root.dataset ? new Finder(root) : null;
const charts = [];
const keys = new Set();
for (const figure of root.querySelectorAll("figure.chart")) show(figure);

function show(figure) {
  const chart = new Chart(figure, source);
  charts.push(chart);
  for (const key of chart.keys) keys.add(key);
}

async function ask(parameters) {
  const { axis, smoothing } = view;
  const query = new URLSearchParams({ max_points: MAX_POINTS, stitched: "true", axis, smoothing, ...parameters });
  const response = await fetch(`/api/v1/runs/${runId}/metrics?${query}`, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`the curves could not be read: ${response.status}`);
  return response.json();
}

async function look(wanted, from, to) {
  return (await ask({ keys: wanted.join(","), from_step: from, to_step: to })).series;
}

let asked = 0;

async function load() {
  asked += 1;
  const mine = asked;
  if (finder) {
    const { keys: all } = await ask({ keys: "episode/return", max_points: 4 });
    for (const figure of finder.find(all)) show(figure);
  }
  const found = await ask({ keys: [...keys].join(",") });
  if (view.offer(found.keys)) return load();
  if (mine !== asked) return found.cursor; // Another view was chosen meanwhile: its answer counts.
  resumptions = found.resumptions;
  curves.clear();
  for (const [key, series] of Object.entries(found.series)) curves.set(key, series);
  refresh();
  return found.cursor;
}

function refresh() {
  for (const chart of charts) chart.refresh();
}

function add(key, step, value) {
  if (!keys.has(key)) for (const figure of finder?.find([key]) ?? []) show(figure);
  // Only the server can place or smooth a point as it did those before it.
  if (!keys.has(key) || !view.isPlain) return;
  if (!curves.has(key)) curves.set(key, { steps: [], values: [], n_raw: 0 });
  const curve = curves.get(key);
  curve.steps.push(step);
  curve.values.push(value);
  curve.n_raw += 1;
}

// A later attempt starts over from a step: what an earlier one logged after it is superseded.
// Whether the server must be asked again: of a thinned curve, only it knows how many points are left.
function dropAfter(step) {
  let isThinned = false;
  for (const curve of curves.values()) {
    isThinned ||= curve.n_raw > curve.steps.length;
    const isKept = curve.steps.map((one) => one <= step);
    curve.steps = curve.steps.filter((_, index) => isKept[index]);
    curve.values = curve.values.filter((_, index) => isKept[index]);
    curve.n_raw = curve.steps.length;
  }
  for (const chart of charts) chart.forgetDetail();
  return isThinned;
}

let mustReload = false;

const APPLY = {
  metrics: (event) => {
    view.offer(Object.keys(event.values));
    for (const [key, value] of Object.entries(event.values)) add(key, event.step, value);
  },
  episode: (event) => {
    view.offer(Object.keys(EPISODE_KEYS));
    for (const [key, name] of Object.entries(EPISODE_KEYS)) add(key, event.step, event[name]);
  },
  attempt: (event) => {
    // The server knows where it goes on along the axis.
    mustReload ||= event.attempt > 1;
    if (view.isPlain) mustReload = dropAfter(event.from_step) || mustReload;
    document.body.dispatchEvent(new CustomEvent("rlgym:attempt", { bubbles: true }));
  },
};

function take(message) {
  for (const event of message.events ?? []) APPLY[event.type]?.(event);
  if (!view.isPlain) return reloadSoon();
  refresh();
  // A long watch gathers many points: let the server thin them again.
  const longest = Math.max(0, ...[...curves.values()].map((curve) => curve.steps.length));
  if (mustReload || longest > MAX_LIVE_POINTS) restart();
}

let live = null;

function follow(after) {
  live = new Live({
    after,
    socketPath: (cursor) => `/ws/runs/${runId}/?after=${cursor}`,
    streamPath: (cursor) => `/api/v1/runs/${runId}/stream?after=${cursor}`,
    onMessage: take,
    onLost: () => setTimeout(restart, LOST_WAIT_MS),
    onState: (state) => { root.dataset.stream = state; },
  });
}

let restarts = 0;

async function restart() {
  restarts += 1;
  const mine = restarts;
  mustReload = false;
  live?.end();
  const cursor = await load();
  if (mine === restarts) follow(cursor);
}

let reloading = null;

function reloadSoon() {
  reloading ??= setTimeout(async () => {
    reloading = null;
    if (document.hidden) return;
    await load().catch(reloadSoon); // The server may be away for a moment.
  }, RELOAD_EVERY_MS);
}

document.addEventListener("visibilitychange", () => {
  if (live && !document.hidden && !view.isPlain) reloadSoon();
});

async function changeView() {
  await (live ? restart() : load()).catch(complain);
  for (const chart of charts) chart.repaint();
}

function complain(error) {
  for (const place of root.querySelectorAll(".plot-empty, .chart-note")) {
    place.textContent = error.message;
    place.hidden = false;
  }
}

// The admin's button sets the theme on <html>; `auto` follows the system.
new MutationObserver(() => charts.forEach((chart) => chart.repaint()))
  .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.repaint()));

try {
  const cursor = await load();
  if ("follow" in root.dataset) follow(cursor);
} catch (error) {
  complain(error);
}
