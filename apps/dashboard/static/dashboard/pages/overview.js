// The dashboard: numbers of active runs change in place; a changed set of runs is fetched again.

import { duration, number, percent } from "lib/format";
import { Live } from "lib/live";

const POLL_MS = 5000;

function announce() {
  document.body.dispatchEvent(new CustomEvent("rlgym:active", { bubbles: true }));
}

function shown() {
  const rows = [...document.querySelectorAll("#active-runs [data-run]")];
  return new Map(rows.map((row) => [row.dataset.run, row]));
}

function update(row, run) {
  const fields = {
    percent: percent(run.progress),
    step: number(run.step),
    return: number(run.return_last),
    speed: number(run.steps_per_second),
    eta: duration(run.eta_s),
  };
  if (run.progress !== null) row.querySelector("progress").value = run.progress;
  for (const [name, text] of Object.entries(fields)) row.querySelector(`[data-cell=${name}]`).textContent = text;
}

function isActive(run) {
  return run.status === "queued" || run.status === "running";
}

function signature(pairs) {
  return pairs.map((pair) => pair.join(" ")).sort().join();
}

// Compared with the message before rather than with the rows: the page shows the first few only.
let known = signature([...shown()].map(([id, row]) => [id, row.dataset.status]));

function take(message) {
  const runs = (message.runs ?? []).filter(isActive);
  const present = signature(runs.map((run) => [run.id, run.status]));
  if (present !== known) announce();
  known = present;
  const rows = shown();
  for (const run of runs) if (rows.has(run.id)) update(rows.get(run.id), run);
}

let isLive = false;
new Live({
  socketPath: () => "/ws/dashboard/",
  onMessage: take,
  onState: (state) => { isLive = state === "live"; },
});

// Where websockets do not get through, ask now and then.
setInterval(() => {
  if (!isLive && !document.hidden) announce();
}, POLL_MS);
