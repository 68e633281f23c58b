// One chart: a figure with a line, optionally faint points behind it, drawn by uPlot when in view.

import { duration, number, steps, ticks } from "lib/format";

const TABLE_ROWS = 200;
const HEIGHT = 200;
const WIDE_HEIGHT = 280;
const MARK_SIZE = 7;
// Seconds between the ticks of an axis of time, and the room that its labels need.
const CLOCK_STEPS = [0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 432000, 864000];
const CLOCK_SPACE = 80;
const LABEL_SPACE = 52;
const LABEL_MARGIN = 16;
const DIGIT_WIDTH = 6.5;
// uPlot has no ticks for what is larger or smaller: it is drawn in parts of a power of ten.
const LARGEST_DRAWN = 1e15;
const SMALLEST_DRAWN = 1e-9;
const AXIS_LABELS = { step: "step", time: "training time", episodes: "episodes", updates: "updates" };

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
  // `curve(key)` gives {steps, values, n_raw} of a metric key, undefined while it has no point, with
  // `xs` along another axis than steps and `smoothed` when that is wanted; `look(keys, from, to)`
  // fetches the same of a range of steps, as finely as a chart can show it; `resumptions()` says
  // where later attempts go on; `view` holds the axis and the smoothing.
  constructor(figure, { curve, look, resumptions, view }) {
    Object.assign(this, { figure, curve, look, resumptions, view });
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
    const from = this.stepBefore(plot.posToVal(plot.select.left, "x"));
    const to = this.stepAfter(plot.posToVal(plot.select.left + plot.select.width, "x"));
    const detail = await this.look(this.keys, from, to);
    if (!this.isZoomed) return;
    this.detail = detail;
    this.draw();
  }

  // The step at or before a place on the axis, and the one at or after it.
  stepBefore(x) {
    const { xs, steps: all } = this.longest;
    if (!xs) return Math.max(0, Math.floor(x));
    return all[Math.max(0, xs.findLastIndex((one) => one <= x))];
  }

  stepAfter(x) {
    const { xs, steps: all } = this.longest;
    if (!xs) return Math.max(0, Math.ceil(x));
    const index = xs.findIndex((one) => one >= x);
    return all.at(index);
  }

  get longest() {
    const found = this.keys.map((key) => this.curve(key)).filter(Boolean);
    return found.reduce((one, other) => (other.steps.length > one.steps.length ? other : one));
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
    this.power = powerOf(this.keys.map((key) => this.series(key)?.values ?? []));
    const tables = this.keys.map((key, index) => {
      const { steps: all = [], xs = all, values: told = [], smoothed: smooth = told } = this.series(key) ?? {};
      const [values, smoothed] = [told, smooth].map((column) => this.scaled(column));
      // Smoothed, the line has its raw points right behind it.
      return this.view.smoothing && !index ? [apart(xs), smoothed, values] : [apart(xs), values];
    });
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
  }

  scaled(values) {
    if (!this.power) return values;
    return values.map((value) => (value === null ? null : value / 10 ** this.power));
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
    const value = (_, drawn) => number(drawn === null ? null : drawn * 10 ** this.power);
    const room = (_, labels) => Math.max(LABEL_SPACE, LABEL_MARGIN + DIGIT_WIDTH * Math.max(0, ...(labels ?? []).map((label) => label.length)));
    const { axis: name, smoothing } = this.view;
    const isTime = name === "time";
    const place = isTime ? duration : (x) => number(Math.floor(x));
    const spacing = isTime ? { incrs: CLOCK_STEPS, space: CLOCK_SPACE } : {};
    const [main, ...behind] = this.keys;
    const raw = { label: `${main} (raw)`, stroke: withAlpha(line, 0.3), width: 1, spanGaps: true, value, points: { show: false } };
    return {
      ...this.size(),
      cursor: { sync: { key: "run" }, drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: { time: false } },
      legend: { live: true },
      axes: [
        { ...axes, ...spacing, size: 28, values: (_, splits) => (isTime ? splits.map(clock) : ticks(splits, 0, steps)) },
        { ...axes, size: room, values: (_, splits) => ticks(splits, this.power) },
      ],
      series: [
        { label: AXIS_LABELS[name], value: (_, x) => (x === null ? "—" : place(x)) },
        { label: main, stroke: line, width: 2, spanGaps: true, value, points: { size: 4, fill: line } },
        ...(smoothing ? [raw] : []),
        ...behind.map((key) => ({
          label: key, stroke: faint, value, paths: () => null,
          points: { show: true, size: 4, width: 0, fill: withAlpha(faint, 0.45) },
        })),
      ],
      hooks: {
        setSelect: [(plot) => this.zoom(plot)],
        drawAxes: [(plot) => this.drawResumptions(plot, axis)],
        draw: [(plot) => this.drawSpecial(plot, colourOf(this.figure, "special"))],
      },
    };
  }

  // Where a later attempt went on: a dashed line from top to bottom.
  drawResumptions(plot, colour) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.setLineDash([4, 4]);
    for (const { x } of this.resumptions()) {
      const left = Math.round(plot.valToPos(x, "x", true));
      if (left < bbox.left || left > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  // Where the line's value is NaN or infinite: a small triangle at the foot.
  drawSpecial(plot, colour) {
    const { steps: all = [], xs = all, values = [] } = this.series(this.keys[0]) ?? {};
    const { ctx, bbox } = plot;
    const foot = bbox.top + bbox.height;
    const size = MARK_SIZE * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour;
    values.forEach((value, index) => {
      const left = value === null ? plot.valToPos(xs[index], "x", true) : -1;
      if (left < bbox.left || left > bbox.left + bbox.width) return;
      ctx.beginPath();
      ctx.moveTo(left, foot - size);
      ctx.lineTo(left - size / 2, foot);
      ctx.lineTo(left + size / 2, foot);
      ctx.fill();
    });
    ctx.restore();
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
      if (special) notes.push(`${number(special)} value${special === 1 ? "" : "s"} of ${key} ${special === 1 ? "is" : "are"} not a finite number${key === this.keys[0] ? ", marked at the foot" : ""}`);
    }
    const resumed = this.resumptions().length;
    if (resumed) notes.push(`dashed: where ${resumed === 1 ? "a later attempt goes" : "later attempts go"} on`);
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

// A tick of an axis of time: no unit that is zero.
function clock(value) {
  const units = [["d", Math.floor(value / 86400)], ["h", Math.floor(value / 3600) % 24], ["min", Math.floor(value / 60) % 60], ["s", Number((value % 60).toFixed(3))]];
  return units.filter(([, count]) => count).map(([unit, count]) => `${count} ${unit}`).join(" ") || "0 s";
}

// The power of ten that values are drawn in parts of, zero where they are drawn as they are.
function powerOf(columns) {
  let size = 0;
  for (const column of columns) for (const value of column) size = Math.max(size, Math.abs(value ?? 0));
  const isDrawnAsItIs = size === 0 || (size >= SMALLEST_DRAWN && size < LARGEST_DRAWN);
  return isDrawnAsItIs ? 0 : Math.floor(Math.log10(size));
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
