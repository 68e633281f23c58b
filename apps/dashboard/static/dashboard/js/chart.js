// One chart: a figure with a line, optionally faint points behind it, drawn by uPlot when in view.

import { number, steps } from "./format.js";

const TABLE_ROWS = 200;
const HEIGHT = 200;
const WIDE_HEIGHT = 280;

// What a canvas needs is a colour, not a CSS variable: ask an element that has it.
function colourOf(element, name) {
  const probe = document.createElement("span");
  probe.className = `ink-${name}`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function withAlpha(colour, alpha) {
  return colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

function cell(row, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = "num";
  row.append(element);
}

export class Chart {
  // `curve(key)` gives {steps, values, n_raw} of a metric key, undefined while it has no point;
  // `look(keys, from, to)` fetches the same of a range of steps, as finely as a chart can show it.
  constructor(figure, curve, look) {
    this.figure = figure;
    this.curve = curve;
    this.look = look;
    this.detail = null;
    this.keys = figure.dataset.keys.split(",");
    this.holder = figure.querySelector(".plot");
    this.isZoomed = false;
    this.isInView = false;
    figure.querySelector(".chart-table").addEventListener("toggle", () => this.fillTable());
    new IntersectionObserver((entries) => {
      this.isInView = entries.at(-1).isIntersecting;
      if (this.isInView) this.draw();
    }, { rootMargin: "200px" }).observe(figure);
    new ResizeObserver(() => this.resize()).observe(this.holder);
  }

  series(key) {
    return (this.isZoomed && this.detail?.[key]) || this.curve(key);
  }

  get line() {
    return this.curve(this.keys[0]);
  }

  get isThinned() {
    return this.keys.some((key) => (this.curve(key)?.n_raw ?? 0) > (this.curve(key)?.steps.length ?? 0));
  }

  // The points of a long run were thinned for the whole of it: a closer look has more to show.
  async zoom(plot) {
    if (plot.select.width <= 0) return;
    this.isZoomed = true;
    if (!this.isThinned) return;
    const from = Math.max(0, Math.floor(plot.posToVal(plot.select.left, "x")));
    const to = Math.ceil(plot.posToVal(plot.select.left + plot.select.width, "x"));
    const detail = await this.look(this.keys, from, to);
    if (!this.isZoomed) return;
    this.detail = detail;
    this.draw();
  }

  unzoom() {
    this.isZoomed = false;
    this.detail = null;
    this.draw();
  }

  // A closer look that was fetched before an attempt began shows points that no longer count.
  forgetDetail() {
    this.detail = null;
  }

  // Redraws are coalesced: however many points arrive, one drawing a frame, none while hidden.
  refresh() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.describe();
      if (this.isInView) this.draw();
    });
  }

  draw() {
    const isEmpty = !this.keys.some((key) => this.series(key)?.steps.length);
    if (isEmpty && !this.plot) {
      this.holder.querySelector(".plot-empty")?.removeAttribute("hidden");
      return;
    }
    const data = this.data();
    if (!this.plot) this.mount(data);
    else if (this.isZoomed) {
      this.plot.setData(data, false);
      this.plot.redraw();
    } else this.plot.setData(data);
  }

  data() {
    const tables = this.keys.map((key) => {
      const { steps: xs = [], values = [] } = this.series(key) ?? {};
      return [apart(xs), values];
    });
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
  }

  mount(data) {
    this.holder.querySelector(".plot-empty")?.remove();
    this.plot = new uPlot(this.options(), data, this.holder);
    this.plot.over.addEventListener("dblclick", () => this.unzoom());
  }

  options() {
    const [line, faint, axis, grid] = ["line", "faint", "axis", "grid"].map((name) => colourOf(this.figure, name));
    const font = "11px system-ui, sans-serif";
    const axes = { stroke: axis, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
    const value = (_, raw) => number(raw);
    return {
      ...this.size(),
      cursor: { sync: { key: "run" }, drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: { time: false } },
      legend: { live: true },
      axes: [
        { ...axes, size: 28, values: (_, splits) => splits.map(steps) },
        { ...axes, size: 52, values: (_, splits) => splits.map(number) },
      ],
      series: [
        { label: "step", value: (_, raw) => (raw === null ? "—" : number(Math.floor(raw))) },
        { label: this.keys[0], stroke: line, width: 2, spanGaps: true, value, points: { size: 4, fill: line } },
        ...this.keys.slice(1).map((key) => ({
          label: key, stroke: faint, value, paths: () => null,
          points: { show: true, size: 4, width: 0, fill: withAlpha(faint, 0.45) },
        })),
      ],
      hooks: { setSelect: [(plot) => this.zoom(plot)] },
    };
  }

  size() {
    const height = this.figure.classList.contains("chart-wide") ? WIDE_HEIGHT : HEIGHT;
    return { width: this.holder.clientWidth, height };
  }

  resize() {
    if (this.plot && this.plot.width !== this.holder.clientWidth) this.plot.setSize(this.size());
  }

  // Colours are baked into the plot: another theme needs another plot.
  repaint() {
    if (!this.plot) return;
    this.plot.destroy();
    this.plot = null;
    this.isZoomed = false;
    this.detail = null;
    if (this.isInView) this.draw();
  }

  // A canvas tells a screen reader nothing: say the last and the best value in words.
  describe() {
    const { title } = this.figure.dataset;
    const values = (this.line?.values ?? []).filter((value) => value !== null);
    if (!values.length) {
      this.figure.setAttribute("aria-label", `${title}: no data yet`);
      this.figure.querySelector(".chart-now").textContent = "";
      return;
    }
    const last = number(values.at(-1));
    const [lowest, highest] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
    const best = "best" in this.figure.dataset ? `best ${number(highest)}` : `from ${number(lowest)} to ${number(highest)}`;
    this.figure.setAttribute("aria-label", `${title}: last ${last}, ${best}`);
    this.figure.querySelector(".chart-now").textContent = `last ${last} · ${best}`;
    this.note();
  }

  note() {
    const notes = [];
    for (const key of this.keys) {
      const { n_raw: all, steps: shown, values } = this.curve(key) ?? { n_raw: 0, steps: [], values: [] };
      if (all > shown.length) notes.push(`${number(shown.length)} of ${number(all)} points of ${key} are drawn`);
      const special = values.filter((value) => value === null).length;
      if (special) notes.push(`${number(special)} value${special === 1 ? "" : "s"} of ${key} ${special === 1 ? "is" : "are"} not a finite number`);
    }
    if (this.isThinned) notes.push("drag to look closer, double-click to go back");
    const note = this.figure.querySelector(".chart-note");
    note.textContent = notes.join("; ");
    note.hidden = !notes.length;
  }

  fillTable() {
    const details = this.figure.querySelector(".chart-table");
    if (!details.open) return;
    const { steps: xs = [], values = [] } = this.line ?? {};
    const table = document.createElement("table");
    table.className = "listing";
    const caption = table.createCaption();
    caption.textContent = xs.length > TABLE_ROWS
      ? `The last ${TABLE_ROWS} of ${number(xs.length)} points, newest first`
      : `${number(xs.length)} points, newest first`;
    const head = table.createTHead().insertRow();
    cell(head, "th", "step");
    cell(head, "th", this.keys[0]);
    const body = table.createTBody();
    for (let index = xs.length - 1; index >= Math.max(0, xs.length - TABLE_ROWS); index -= 1) {
      const row = body.insertRow();
      cell(row, "td", number(xs[index]));
      cell(row, "td", values[index] === null ? "not finite" : number(values[index]));
    }
    details.querySelector(".scroll").replaceChildren(table);
  }
}

// Episodes of parallel environments may end at the same step; uPlot wants each x once.
function apart(xs) {
  const result = new Array(xs.length);
  let previous = -Infinity;
  for (let index = 0; index < xs.length; index += 1) {
    previous = xs[index] > previous ? xs[index] : previous + 0.001;
    result[index] = previous;
  }
  return result;
}
