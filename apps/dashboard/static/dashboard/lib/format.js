// How numbers and times read; the same rules as `apps/words.py` and the template filters have.

const NOTHING = "—";
const GREATEST_WRITTEN_OUT = 1e15;
const LEAST_WRITTEN_OUT = 1e-4;
const MOST_DIGITS = 17;
// Longer labels would take the chart's room.
const LONGEST_LABEL = 12;

export function number(value) {
  if (value === null || value === undefined) return NOTHING;
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const digits = size < 1 ? 3 : 4;
  if (size < LEAST_WRITTEN_OUT || size >= GREATEST_WRITTEN_OUT) return withPower(value, digits);
  if (size >= 1000 || Number.isInteger(value)) return grouped(value.toFixed(0));
  return grouped(value.toPrecision(digits));
}

// `power` is added to the exponent: a chart draws what is too large for it as parts of a power of ten.
function withPower(value, digits, power = 0) {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${withoutZeros(mantissa)}e${Number(exponent) + power}`;
}

function withoutZeros(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function grouped(text) {
  const [whole, part] = withoutZeros(text).split(".");
  const thousands = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return part ? `${thousands}.${part}` : thousands;
}

function precise(value, digits) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < LEAST_WRITTEN_OUT || size >= GREATEST_WRITTEN_OUT) return withPower(value, digits);
  const before = Math.floor(Math.log10(size)) + 1;
  return grouped(value.toFixed(Math.max(0, digits - before)));
}

function tellApart(labels) {
  return new Set(labels).size === labels.length;
}

// The labels of an axis: as few digits as tell them apart. Where that would take too many, the first
// is written whole and the others as what they add to it.
export function ticks(values, power = 0, write = number) {
  const shown = values.filter((value) => value !== null);
  const labels = power ? shown.map((value) => withPower(value, 4, power)) : shown.map(write);
  const found = tellApart(labels) ? labels : apartLabels(shown, power);
  return values.map((value) => (value === null ? "" : found.shift()));
}

function apartLabels(values, power) {
  const write = power ? (value, digits) => withPower(value, digits, power) : precise;
  for (let digits = 4; digits <= MOST_DIGITS; digits += 1) {
    const labels = values.map((value) => write(value, digits));
    if (!tellApart(labels)) continue;
    if (Math.max(...labels.map((label) => label.length)) <= LONGEST_LABEL) return labels;
    break;
  }
  const [first, ...others] = values;
  const added = others.map((value) => `+${power ? withPower(value - first, 3, power) : number(value - first)}`);
  const whole = power ? withPower(first, 4, power) : number(first);
  const isExact = Number(whole.replaceAll(",", "")) === first * 10 ** power;
  return [isExact ? whole : `≈${whole}`, ...added];
}

export function steps(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e3) return `${Number((value / 1e3).toPrecision(4))}k`;
  return String(value);
}

// 100 % is only said of the whole.
export function percent(fraction) {
  if (fraction === null) return NOTHING;
  return `${Math.floor(fraction * 100)} %`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const whole = Math.round(seconds);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two((whole % 3600) / 60)} min`;
  return `${number(Math.floor(whole / 86400))} d ${two((whole % 86400) / 3600)} h`;
}

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

// Today's times need no date.
export function moment(date) {
  const isToday = date.toDateString() === new Date().toDateString();
  return (isToday ? CLOCK : DAY).format(date);
}
