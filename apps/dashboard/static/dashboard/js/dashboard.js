// The dashboard: numbers of active runs change in place; a changed set of runs is fetched again.

import { duration, number, percent } from "./format.js";
import { Live } from "./live.js";

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
  row.querySelector("progress").value = run.progress;
  for (const [name, text] of Object.entries(fields)) row.querySelector(`[data-cell=${name}]`).textContent = text;
}

function isActive(run) {
  return run.status === "queued" || run.status === "running";
}

function take(message) {
  const rows = shown();
  const runs = (message.runs ?? []).filter(isActive);
  const isSame = runs.length === rows.size && runs.every((run) => rows.get(run.id)?.dataset.status === run.status);
  if (!isSame) announce();
  else for (const run of runs) update(rows.get(run.id), run);
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
