// Whether the server is still heard from. A page that shows what runs says when it is not, and since
// when; times left and "running" are then marked as what was known last. It finds back by itself.
//
// Whatever arrives counts: parts of the page, messages of a stream. Only after a silence the server
// is asked for its health, so that a page that is busy anyway asks for nothing more.

import { moment } from "lib/format";

const HEALTH = "/api/v1/health";
const QUIET_MS = 3000;
const ANSWER_MS = 3000;
const TELLS_OF_NOW = "[data-live], #machine, .badge-running, .badge-queued";

let lastHeard = Date.now();
let isLost = false;
let isAsking = false;

export function isCutOff() {
  return isLost;
}

// Something came from the server.
export function heard() {
  lastHeard = Date.now();
  if (!isLost) return;
  isLost = false;
  show();
  announce("rlgym:found-again");
}

// Called once a second while somebody looks.
export function watch() {
  if (isLost) show();
  if (!document.querySelector(TELLS_OF_NOW)) return;
  if (isLost || Date.now() - lastHeard > QUIET_MS) ask();
}

async function ask() {
  if (isAsking) return;
  isAsking = true;
  try {
    const response = await fetch(HEALTH, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    // A proxy in front of a server that is gone answers a page of its own.
    if (!response.headers.get("Content-Type")?.includes("json")) throw new Error("no answer of ours");
    heard();
  } catch {
    // While it was asked, something else may have arrived.
    if (Date.now() - lastHeard > QUIET_MS) lose();
  } finally {
    isAsking = false;
  }
}

function lose() {
  if (isLost) return;
  isLost = true;
  // What hangs would keep what is asked for later from being sent.
  for (const element of document.querySelectorAll(".htmx-request")) htmx.trigger(element, "htmx:abort");
  show();
  announce("rlgym:lost");
}

function show() {
  const place = document.getElementById("contact");
  const seconds = Math.round((Date.now() - lastHeard) / 1000);
  const why = navigator.onLine ? "" : " This browser is offline.";
  const told = `Nothing was heard from the server since ${moment(new Date(lastHeard))}.${why} What runs is shown as it was then; it is asked again by itself.`;
  document.body.classList.toggle("is-stale", isLost);
  place.hidden = !isLost;
  // Told again only when it changes: a screen reader reads each change aloud.
  if (isLost && place.dataset.told !== told) {
    place.dataset.told = told;
    place.querySelector("span").textContent = told;
  }
  place.querySelector("time").textContent = `${seconds} s ago`;
}

function announce(name) {
  document.body.dispatchEvent(new CustomEvent(name, { bubbles: true }));
}

document.body.addEventListener("htmx:afterRequest", (event) => {
  const type = event.detail.xhr.status && event.detail.xhr.getResponseHeader("Content-Type");
  const isOfProxy = event.detail.xhr.status >= 502 && !type?.includes("json");
  if (event.detail.xhr.status && !isOfProxy) heard();
});
document.body.addEventListener("rlgym:heard", heard);
for (const name of ["offline", "online"]) {
  addEventListener(name, () => {
    lastHeard = Math.min(lastHeard, Date.now() - QUIET_MS - 1);
    watch();
  });
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (!isLost) lastHeard = Date.now(); // Nothing was asked for meanwhile.
  ask();
});
