// How the charts are drawn: the x axis and the smoothing. The address holds what differs from the
// plain view, so that a link shows the same; the browser remembers it for the next run.

const STORED = "rlgym:charts";
const PLAIN = { axis: "step", smoothing: "0" };

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) ?? {};
  } catch {
    return {}; // Storage is off, or holds something else.
  }
}

function remember(chosen) {
  try {
    localStorage.setItem(STORED, JSON.stringify(chosen));
  } catch {
    // Storage is off or full: the address still holds it.
  }
}

export class View {
  // `onChange` is called when the reader has chosen something else.
  constructor(form, onChange) {
    this.form = form;
    const asked = Object.fromEntries(new URLSearchParams(location.search));
    for (const [name, plain] of Object.entries(PLAIN)) {
      this.set(name, [asked[name], remembered()[name], plain].find((value) => this.allows(name, value)));
    }
    form.addEventListener("input", () => this.tell());
    form.addEventListener("change", () => {
      this.keep();
      onChange();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    this.tell();
  }

  get axis() {
    return this.form.elements.axis.value;
  }

  get smoothing() {
    return Number(this.form.elements.smoothing.value);
  }

  get isPlain() {
    return this.axis === PLAIN.axis && this.smoothing === 0;
  }

  // Only what a run's log counts can be an axis. Whether the chosen one had to be given up.
  offer(keys) {
    const { axis } = this.form.elements;
    for (const option of axis.options) {
      if (keys.includes(option.dataset.needs)) option.disabled = false;
    }
    if (!axis.selectedOptions[0].disabled) return false;
    this.set("axis", PLAIN.axis);
    return true;
  }

  allows(name, value) {
    if (typeof value !== "string") return false;
    const element = this.form.elements[name];
    if (element.options) return [...element.options].some((option) => option.value === value);
    return value !== "" && Number(value) >= Number(element.min) && Number(value) <= Number(element.max);
  }

  set(name, value) {
    this.form.elements[name].value = value;
  }

  tell() {
    const { smoothing } = this;
    this.form.querySelector("output").textContent = smoothing ? smoothing.toFixed(2) : "off";
  }

  keep() {
    const address = new URL(location.href);
    const chosen = { axis: this.axis, smoothing: String(this.smoothing) };
    for (const [name, value] of Object.entries(chosen)) {
      if (value === PLAIN[name]) address.searchParams.delete(name);
      else address.searchParams.set(name, value);
    }
    history.replaceState(history.state, "", address);
    remember(chosen);
  }
}
