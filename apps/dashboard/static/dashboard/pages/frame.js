// On every page: times in the reader's zone, a heartbeat for what is live, and guards around htmx.

import { isCutOff, watch } from "parts/contact";
import { moment } from "lib/format";

const TICK_MS = 1000;
const SLOW_TICKS = 5;
// Parts that answer what the reader does.
const ALWAYS_REPLACED = ["run-header", "hyperparameters", "quick-algorithm"];

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const date = new Date(time.dateTime);
    time.title = date.toString();
    time.textContent = moment(date);
  }
}

// The server is told the zone that days and times are written in. What a page without a script would
// show stays in the zone that it says, until the next page.
function tellZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone) return;
  document.cookie = `rlgym_zone=${zone}; path=/; max-age=31536000; SameSite=Lax`;
  if (!document.body.classList.contains("rlgym")) return;
  for (const place of document.querySelectorAll("[data-zone]")) place.textContent = zone;
  const asked = new URLSearchParams(location.search).get("zone");
  const field = document.querySelector("input[name=zone]");
  if (!field || asked || field.value === zone) return;
  for (const label of document.querySelectorAll("label[for*=created]")) {
    label.textContent = label.textContent.replace(`(${field.value})`, `(${zone})`);
  }
  field.value = zone;
}

function announce(name) {
  document.body.dispatchEvent(new CustomEvent(name, { bubbles: true }));
}

let ticks = 0;
// Nothing is asked for while nobody looks.
setInterval(() => {
  if (document.hidden) return;
  watch();
  if (isCutOff()) return;
  ticks += 1;
  if (document.querySelector("[data-live]")) announce("rlgym:tick");
  if (ticks % SLOW_TICKS === 0) announce("rlgym:slow-tick");
}, TICK_MS);

// A part that holds what the reader is busy with is not replaced under their hands.
function isBusy(element) {
  const video = element.querySelector("video");
  const isWatched = video && !video.ended && (!video.paused || video.currentTime > 0);
  const isAsking = element.querySelector("details.ask[open]");
  const log = element.querySelector("pre.log");
  const isRead = log && log.scrollTop > 0 && log.scrollTop + log.clientHeight < log.scrollHeight - 4;
  const isTyping = element.querySelector("input:focus, select:focus, textarea:focus");
  return Boolean(isWatched || isAsking || isRead || isTyping);
}

// What was not replaced for that reason is, as soon as it can be.
const postponed = new Set();
document.body.addEventListener("rlgym:slow-tick", () => {
  for (const id of postponed) {
    const element = document.getElementById(id);
    if (element && isBusy(element)) continue;
    postponed.delete(id);
    if (element) htmx.ajax("GET", element.getAttribute("hx-get"), { target: element, swap: "outerHTML" });
  }
});

document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  // A session that has ended answers with the login page: go there rather than show it inside a part.
  if (/^(\/admin)?\/login\/$/.test(new URL(xhr.responseURL, location.href).pathname)) {
    event.detail.shouldSwap = false;
    location.reload();
    return;
  }
  if (!ALWAYS_REPLACED.includes(target.id) && isBusy(target)) {
    event.detail.shouldSwap = false;
    if (target.id && target.hasAttribute("hx-get")) postponed.add(target.id);
  }
});

document.body.addEventListener("htmx:afterSwap", () => {
  showTimes(document);
  scrollLogs();
});

// What changed meanwhile is fetched at once.
document.body.addEventListener("rlgym:found-again", () => {
  for (const name of ["rlgym:tick", "rlgym:active", "rlgym:slow-tick"]) announce(name);
});

function scrollLogs() {
  for (const log of document.querySelectorAll("pre.log")) log.scrollTop = log.scrollHeight;
}

// What is told newest last opens at its end.
document.addEventListener("toggle", (event) => {
  const told = event.target.open && event.target.querySelector(":scope > pre.ends");
  if (told) told.scrollTop = told.scrollHeight;
}, true);

// A question that was left open closes when the reader turns to something else.
document.addEventListener("click", (event) => {
  for (const ask of document.querySelectorAll("details.ask[open]")) {
    if (!ask.contains(event.target)) ask.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const ask of document.querySelectorAll("details.ask[open]")) {
    ask.open = false;
    ask.querySelector("summary").focus();
  }
});

// Choosing another algorithm is a plain link; with a script it takes along what was typed.
for (const link of document.querySelectorAll("a[data-keeps-form]")) {
  link.addEventListener("click", () => {
    const form = document.getElementById(link.dataset.keepsForm);
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (typeof value !== "string") continue;  // A file cannot be taken along.
      if (value && name !== "csrfmiddlewaretoken" && !name.startsWith("hyperparameters.")) query.set(name, value);
    }
    query.set("algorithm", new URLSearchParams(link.search).get("algorithm"));
    link.search = query.toString();
  });
}

// A command to type elsewhere. Browsers keep the clipboard from pages that came over plain HTTP.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
  });
}
// On a phone the ways do not fit: the one that was taken is in sight.
const here = document.querySelector(".main-nav [aria-current]");
if (here) here.parentElement.scrollLeft = Math.max(0, here.offsetLeft + here.offsetWidth - here.parentElement.clientWidth);

tellZone();
showTimes(document);
scrollLogs();
