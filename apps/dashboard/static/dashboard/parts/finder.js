// Makes the charts of a run that may log anything, from the metrics that it turns out to log.

const MAX_CHARTS = 60;
// Their metrics are asked for in one address, whose length a server limits.
const MAX_ADDRESS = 8000;

export class Finder {
  constructor(root) {
    this.root = root;
    this.template = root.querySelector("#chart-template").content.firstElementChild;
    this.known = JSON.parse(root.querySelector("#known-charts").textContent);
    this.seen = new Set();
    this.left = new Set();
    this.count = 0;
    this.length = 0;
  }

  // Returns the figures of metrics that were not there before, known ones first.
  find(keys) {
    const fresh = keys.filter((key) => !this.seen.has(key));
    for (const key of fresh) this.seen.add(key);
    const present = this.known.filter((chart) => fresh.includes(chart.line));
    const faint = new Set(present.map((chart) => chart.faint));
    const known = present.filter((chart) => !faint.has(chart.line));
    const covered = new Set(known.flatMap((chart) => [chart.line, chart.faint]));
    const others = fresh.filter((key) => !covered.has(key)).sort();
    const charts = [...known, ...others.map((key) => ({ title: key, meaning: "", line: key, faint: "", about: [] }))];
    const shown = charts.filter((chart) => this.hasRoom(chart));
    this.tell();
    return shown.map((chart) => this.make(chart));
  }

  hasRoom({ line, faint }) {
    const length = this.length + encodeURIComponent(`${line},${faint},`).length;
    if (this.count >= MAX_CHARTS || length > MAX_ADDRESS) {
      this.left.add(line);
      return false;
    }
    this.count += 1;
    this.length = length;
    return true;
  }

  make(chart) {
    const figure = this.template.cloneNode(true);
    figure.dataset.title = chart.title;
    figure.dataset.keys = [chart.line, chart.faint].filter(Boolean).join(",");
    if (chart.is_higher_better) figure.dataset.best = "";
    figure.classList.toggle("chart-wide", Boolean(chart.is_wide));
    figure.querySelector("strong").textContent = chart.title;
    figure.querySelector(".chart-table .scroll").setAttribute("aria-label", `${chart.title} as a table`);
    figure.querySelector(".chart-meaning").textContent = chart.meaning;
    this.explain(figure.querySelector(".chart-about"), chart.about);
    this.root.querySelector("#more-metrics").before(figure);
    return figure;
  }

  explain(details, about) {
    details.hidden = !about.length;
    for (const [name, told] of about) {
      const [term, description] = ["dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = name;
      description.textContent = told;
      details.querySelector("dl").append(term, description);
    }
  }

  tell() {
    if (this.count) this.root.querySelector("#no-charts")?.remove();
    const more = this.root.querySelector("#more-metrics");
    more.hidden = !this.left.size;
    more.textContent = `${this.left.size} more metrics are not drawn here; GET /api/v1/runs/${this.root.dataset.run}/metrics has them: ${[...this.left].slice(0, 200).join(", ")}`;
  }
}
