// Records of a trace: columns as minivisor/views/packing.py packs them (or as a trace file holds them), and words for them.

const CODES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUES = new Uint8Array(128);
for (let k = 0; k < 64; k++) VALUES[CODES.charCodeAt(k)] = k;

function fromBase64(s) {
  const size = (s.length >> 2) * 3 - (s.endsWith("==") ? 2 : s.endsWith("=") ? 1 : 0);
  const bytes = new Uint8Array(size);
  for (let k = 0, at = 0; k < s.length; k += 4) {
    const word = (VALUES[s.charCodeAt(k)] << 18) | (VALUES[s.charCodeAt(k + 1)] << 12) | (VALUES[s.charCodeAt(k + 2)] << 6) | VALUES[s.charCodeAt(k + 3)];
    bytes[at++] = word >> 16;
    bytes[at++] = word >> 8;
    bytes[at++] = word;
  }
  return bytes;
}

const WORDS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };
const wordsOf = (s, width) => new WORDS[width](fromBase64(s).buffer);

/** A packed column as {at(i) -> BigInt, low(i) -> its low 32 bits}: one value, numbers of values, or differences to be added up. */
function unpackColumn(column) {
  if ("all" in column) {
    const value = BigInt(`0x${column.all}`);
    const low = Number(value & 0xffffffffn);
    return { values: [value], index: null, at: () => value, low: () => low };
  }
  if ("of" in column) {
    const values = column.of.map((word) => BigInt(`0x${word}`));
    const index = wordsOf(column.index, column.width);
    const lows = Uint32Array.from(values, (value) => Number(value & 0xffffffffn));
    return { values, index, at: (i) => values[index[i]], low: (i) => lows[index[i]] };
  }
  if ("by" in column) {
    const by = wordsOf(column.by, column.width);
    const sums = new Float64Array(by.length);
    for (let i = 0, sum = column.from; i < by.length; i++) sums[i] = sum += by[i];
    return { sums, at: (i) => BigInt(sums[i]), low: (i) => sums[i] % 4294967296 };
  }
  const raw = new BigUint64Array(fromBase64(column.raw).buffer);
  return { at: (i) => raw[i], low: (i) => Number(raw[i] & 0xffffffffn) };
}

function numbers(column, n, type) {
  if (column.sums) return column.sums;
  const out = new type(n);
  if (!column.values) for (let i = 0; i < n; i++) out[i] = Number(column.at(i));
  else {
    const values = Float64Array.from(column.values, Number);
    if (column.index) for (let i = 0; i < n; i++) out[i] = values[column.index[i]];
    else out.fill(values[0]);
  }
  return out;
}

const SMALL = { kind: Uint8Array, vcpu: Uint8Array, outcome: Uint8Array, detail: Uint8Array, number: Uint32Array };

const LARGE = new Set(["time", "retired", "record"]);

/** state.rows -> {n, record, time, retired, kind…: typed arrays; pc, esr…: {at(i)}}. record: its number in the run. */
function unpackRows(packed) {
  if (packed.time) return packed; // a trace file read in this page: opened already
  const rows = { n: packed.count };
  for (const [name, column] of Object.entries(packed.columns)) {
    const opened = unpackColumn(column);
    rows[name] = SMALL[name] ? numbers(opened, packed.count, SMALL[name]) : LARGE.has(name) ? numbers(opened, packed.count, Float64Array) : opened;
  }
  return rows;
}

/** The first row at or after a time. Times never go back. */
function rowAt(rows, time) {
  let low = 0, high = rows.n;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows.time[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last of these rows (positions `at`, or all) whose record is not after `record`; -1 when there is none. */
function lastUpTo(rows, record, at = null) {
  let low = 0, high = at ? at.length : rows.n;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows.record[at ? at[middle] : middle] <= record) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

const KIND = {};
const learn = (schema) => Object.entries(schema.kinds).forEach(([number, kind]) => (KIND[kind.name] = Number(number)));

/** Decisions by rule are counted beside exception classes, above all of those. */
const POLICY = 128;
const policyName = (schema, event) => schema.kinds[KIND.policy].fields.find(([name]) => name === "event")[2][event];
const ecOf = (rows, i) => (rows.detail[i] ? 64 + rows.detail[i] : rows.esr.low(i) >>> 26);
const SHORT = { 0: "Unknown", 1: "WFI/WFE", 7: "FP access", 22: "HVC", 23: "SMC", 24: "System register", 32: "Instruction abort", 36: "Data abort",
  65: "Physical IRQ", 66: "Physical FIQ", 67: "SError" };
const className = (schema, ec) => (ec >= POLICY ? `Policy: ${policyName(schema, ec - POLICY)}` : SHORT[ec]) || schema.ec[ec] || `class ${hex(ec)}`;
const personaName = (state, vcpu) => {
  const name = vcpu === 255 ? "nobody" : state.names[vcpu] || `vcpu ${vcpu}`;
  return state.names.filter((other) => other === name).length > 1 ? `${name} vcpu ${vcpu}` : name;
};
const intidName = (schema, intid) => `${intid} ${intid < 16 ? `SGI ${intid}` : intid < 32 ? schema.irq[intid] : `SPI ${intid - 32}`}`;

const field = (rows, column, i) => (column in SMALL || LARGE.has(column) ? BigInt(rows[column][i]) : rows[column].at(i));

/** A record's fields by the names its kind gives them: [[name, words]]. */
function fieldsOf(state, rows, i) {
  const kind = state.schema.kinds[rows.kind[i]];
  return kind.fields.map(([name, column, members, worded]) => {
    const value = field(rows, column, i);
    const member = members && members[Number(value)];
    if (member) return [name, member];
    if (name === "intid") return [name, intidName(state.schema, Number(value))];
    if (name === "previous") return [name, personaName(state, Number(value))];
    if (worded) return [name, state.texts[Number(value)] ?? ""];
    if (name === "slice" || name === "deadline") return [name, duration(Number(value))];
    return [name, value > 9n ? hex(value) : String(value)];
  });
}

/** One record in a line. */
function recordWords(state, rows, i) {
  const { schema } = state, kind = schema.kinds[rows.kind[i]].name, who = personaName(state, rows.vcpu[i]);
  if (kind === "exit") {
    const ec = ecOf(rows, i), ipa = rows.ipa.at(i), said = state.exits?.[rows.esr.at(i).toString(16)];
    const what = ec < 64 && said ? said : className(schema, ec);
    return `${who}: ${what}${ipa ? `, IPA ${hex(ipa)}` : ""}, PC ${hex(rows.pc.at(i))}: ${schema.outcomes[rows.outcome[i]]}`;
  }
  if (kind === "policy") {
    const { event, rule, why } = Object.fromEntries(fieldsOf(state, rows, i));
    return `${who}: policy decision, ${event}: ${why} (rule: ${rule})`;
  }
  const told = fieldsOf(state, rows, i).map(([name, value]) => `${name} ${value}`).join(", ");
  return `${who}: ${kind.replace("_", " ")}${told ? `, ${told}` : ""}`;
}

/** state -> what record-based diagrams start from. */
function opened(state) {
  learn(state.schema);
  const rows = unpackRows(state.rows);
  return { state, rows, trace: state.trace, note: state.note, from: rows.n ? rows.time[0] : 0, to: rows.n ? rows.time[rows.n - 1] : 0 };
}

/** Where the runs of each vCPU on the core begin and end: [{vcpu, from, to}], from SWITCH and EXIT records. */
function staysOf(rows) {
  const found = [];
  let vcpu = 255, from = 0, exit = 0;
  for (let i = 0; i < rows.n; i++) {
    if (rows.kind[i] === KIND.exit) {
      if (vcpu === 255) (vcpu = rows.vcpu[i]), (from = rows.time[0]);
      exit = rows.time[i];
    } else if (rows.kind[i] === KIND.switch) {
      const previous = rows.number[i] & 255;
      if (vcpu === 255 && previous !== 255) (vcpu = previous), (from = rows.time[0]);
      if (vcpu !== 255) found.push({ vcpu, from, to: previous === vcpu ? rows.time[i] : Math.max(exit, from) });
      vcpu = rows.vcpu[i];
      from = rows.time[i];
    }
  }
  if (vcpu !== 255) found.push({ vcpu, from, to: Math.max(exit, from) });
  return found;
}

/** vCPUs that records name, in order. */
function vcpusOf(rows) {
  const seen = new Uint8Array(256);
  for (let i = 0; i < rows.n; i++) seen[rows.vcpu[i]] = 1;
  return [...seen.keys()].filter((vcpu) => seen[vcpu] && vcpu !== 255);
}

/** Round times for an axis of about `wanted` marks between two times in ns. */
function ticks(from, to, wanted) {
  const rough = Math.max((to - from) / Math.max(wanted, 1), 1), ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * ten).find((s) => s >= rough);
  const out = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) out.push(t);
  return out;
}

/** The time axis below a plot, with its light vertical lines. place: time -> x. */
function axis(from, to, place, top, bottom, width) {
  const unit = to - from >= 2e6 ? [1e6, "ms"] : to - from >= 2e3 ? [1e3, "µs"] : [1, "ns"];
  const marks = ticks(from, to, width / 90).map((t) => {
    const label = Number((t / unit[0]).toFixed(6)), x = place(t), anchor = x < 10 ? "" : x > place(to) - 10 ? END : MIDDLE;
    return line(x, top, x, bottom, col("line"), 'stroke-dasharray="2 3"') + text(x, bottom + 14, label < 1000 ? label : count(label), anchor, col("dim"));
  });
  return marks.join("") + text(place(to), bottom + 28, `virtual time, ${unit[1]}`, `${END} font-size="11"`, col("dim"));
}

/** What `make(key)` gave when the key was last the same: pictures that a step does not change are drawn once. */
function keeper(make) {
  let key = null, kept = null;
  return (now, ...rest) => (key === now ? kept : ((kept = make(...rest)), (key = now), kept));
}

/** A window of `span` about `middle`: it stays where it is until the middle leaves its inner half. */
function steady(data, middle, zoom) {
  const whole = Math.max(data.to - data.from, 1), span = whole / 2 ** zoom;
  const from = clamp(data.from + Math.floor((middle - data.from) / (span / 2)) * (span / 2) - span / 4, data.from, data.from + whole - span);
  return { from, to: from + span, span };
}
