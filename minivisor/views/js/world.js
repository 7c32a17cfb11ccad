// World switch: what leaves the core with one vCPU, what comes with the next? A row of marks for each group of registers,
// one mark a register; a step loads one more group, and its registers are listed before and after.

const differs = (data, s, name) => (s.saved[name] || "0") !== (s.loaded[name] || "0");
const shortHex = (word, px) => fit(`0x${word || "0"}`, px, 6.7);

const REGISTER_WORDS = ["pc", "esr", "far", "ipa", "value", "argument"];
const EMPTY_SIDE = { words: new Map(), seen: new Set(), sets: Infinity };

/** What a REGISTERS record adds to what is known of its vCPU: minivisor/trace/registers.py says what is in it. */
function learnWords(side, state, rows, i) {
  const names = (state.texts[rows.number[i]] || "").split(" ");
  side.seen.add(rows.number[i]);
  side.sets = rows.outcome[i];
  REGISTER_WORDS.slice(0, names.length).forEach((column, k) => side.words.set(names[k], rows[column].at(i)));
}

/** Registers by name, in hexadecimal; the two halves of a wide one together. */
function registersOf({ words }) {
  const found = Object.create(null);
  for (const [name, word] of words) {
    const [whole, half] = name.split(".D[");
    if (half === undefined) found[name] = word.toString(16);
    else if (half === "0]") found[whole] = (((words.get(`${whole}.D[1]`) || 0n) << 64n) | word).toString(16);
  }
  return found;
}

/** The switches between two vCPUs of which the records tell all registers. */
function switchesOf({ state, rows }) {
  const known = new Map(), found = [];
  let open = -1;
  const side = (vcpu) => known.get(vcpu) || known.set(vcpu, { words: new Map(), seen: new Set(), sets: 0 }).get(vcpu);
  const close = () => {
    if (open < 0 || !rows.outcome[open] || rows.number[open] === 255 || rows.time[open] < (state.since || 0)) return;
    const leaves = known.get(rows.number[open]) || EMPTY_SIDE, enters = known.get(rows.vcpu[open]) || EMPTY_SIDE;
    if (leaves.seen.size < leaves.sets || enters.seen.size < enters.sets) return;
    found.push({ from: personaName(state, rows.number[open]), to: personaName(state, rows.vcpu[open]), time: rows.time[open], record: rows.record[open], saved: registersOf(leaves), loaded: registersOf(enters) });
  };
  for (let i = 0; i < rows.n; i++) {
    if (rows.kind[i] === KIND.switch) {
      close();
      open = i;
    } else if (rows.kind[i] === KIND.registers) learnWords(side(rows.vcpu[i]), state, rows, i);
  }
  close();
  return found;
}

/** Which switch a step is of, and how many groups are loaded by then. */
const placed = (data, step) => ({ s: data.switches[Math.floor(step / (data.groups.length + 1))], done: step % (data.groups.length + 1) });

function groupRow(data, s, k, done, top, width, gutter) {
  const [name, registers] = data.groups[k], now = k === done - 1, loaded = k < done, each = 13, per = Math.max(8, Math.floor((width - gutter - 92) / each));
  let out = text(8, top + 15, loaded ? `✓ ${name}` : name, now ? BOLD : ""), changed = 0; // the colour is not the only sign
  registers.forEach((register, n) => {
    const x = gutter + (n % per) * each, y = top + 5 + Math.floor(n / per) * each, other = differs(data, s, register);
    changed += other;
    const mark = other ? rect(x, y, 10, 10, loaded ? series(1) : series(0), 'rx="2"') : rect(x + 0.7, y + 0.7, 8.6, 8.6, "none", `rx="2" stroke="${loaded ? series(1) : series(0)}" stroke-width="1.4"`);
    out += `<g><title>${esc(`${register}: 0x${s.saved[register] || 0} → 0x${s.loaded[register] || 0}`)}</title>${mark}</g>`;
  });
  const high = Math.max(24, Math.ceil(registers.length / per) * each + 9);
  out += text(width - 6, top + 15, `${changed} of ${registers.length}`, `${END} font-size="11.5"`, col("dim"));
  return { body: `<g data-step="${data.switches.indexOf(s) * (data.groups.length + 1) + k + 1}" ${now ? 'class="now"' : ""}>${rect(0, top, width, high, now ? col("glow") : "transparent", `rx="5" ${now ? `stroke="${col("accent")}"` : ""}`)}${out}</g>`, height: high + 3 };
}

function registerList(data, s, k, top, width) {
  if (k < 0) return { body: text(0, top + 16, `Still ${s.from}'s registers. The next steps load ${s.to}'s, group by group.`, "", col("dim")), height: 26 };
  const columns = width < 620 ? 1 : 2, wide = width / columns, [, registers] = data.groups[k], rows = Math.ceil(registers.length / columns), each = (wide - 150) / 2;
  const head = Array.from({ length: columns }, (_, c) => text(c * wide + 120, top + 12, fit(s.from, each), `font-size="11"`, col("dim")) + text(c * wide + 138 + each, top + 12, fit(s.to, each), 'font-size="11"', col("dim"))).join("");
  const body = registers.map((name, n) => {
    const x = Math.floor(n / rows) * wide, y = top + 30 + (n % rows) * 17, other = differs(data, s, name);
    return text(x, y, fit(name, 114, 6.9), `${MONO} font-size="11.5"`) + text(x + 120, y, shortHex(s.saved[name], each), `${MONO} font-size="11"`, col("dim")) +
      text(x + 124 + each, y, other ? "→" : "=", 'font-size="12"', other ? col("ink") : col("dim")) + text(x + 138 + each, y, shortHex(s.loaded[name], each), `${MONO} font-size="11" ${other ? BOLD : ""}`, other ? col("ink") : col("dim"));
  });
  return { body: head + body.join(""), height: 34 + rows * 17 };
}

const view = diagram({
  name: "world",
  title: "World switch",
  question: "What leaves the core with one vCPU, and what comes with the next?",
  prepare(state) {
    const switches = state.switches || switchesOf(opened(state));
    return { state, switches, groups: state.groups, trace: state.trace, note: state.note };
  },
  steps: (data) => data.switches.length * (data.groups.length + 1),
  start: (data) => (data.switches.length ? Math.max(1, data.groups.findIndex(([name]) => name === "translation") + 1) : 0),
  record: (data, step) => placed(data, step).s?.record ?? -1,
  find(data, record) {
    const k = data.switches.findLastIndex((s) => s.record !== undefined && s.record >= 0 && s.record <= record);
    return k < 0 ? -1 : k * (data.groups.length + 1);
  },
  frame(data, ui) {
    const { s, done } = placed(data, ui.step);
    if (!s) return { svg: svg(ui.width, 40, "no switch", text(0, 24, "No world switch with its registers.")), say: "No world switch of which these records have the registers: a trace keeps those of the first ones (--registers N).", table: () => ({ head: ["register"], rows: [] }) };
    const all = data.groups.flatMap(([, registers]) => registers), changed = all.filter((name) => differs(data, s, name)).length;
    const gutter = 108;
    let body = glyph(2, 6, 10, 1.1, series(0)) + text(16, 14, `still ${fit(s.from, 130)}'s`, 'font-size="12"') + glyph(2, ui.width / 2 + 6, 10, 1.1, series(1)) + text(ui.width / 2 + 16, 14, `loaded, ${fit(s.to, 130)}'s`, 'font-size="12"'), y = 24;
    body += text(0, y + 12, "filled: the value differs · hollow: the same", 'font-size="11"', col("dim"));
    y += 20;
    data.groups.forEach((_, k) => {
      const row = groupRow(data, s, k, done, y, ui.width, gutter);
      body += row.body;
      y += row.height;
    });
    const list = registerList(data, s, done - 1, y + 10, ui.width);
    const group = done ? data.groups[done - 1] : null;
    const now = group ? `Loaded last: ${group[0]}, ${group[1].filter((name) => differs(data, s, name)).length} of ${group[1].length} differ.` : "";
    const said = `From ${s.from} to ${s.to}${s.time === undefined ? "" : ` at ${duration(s.time)}`}: ${plural(all.length, "register")} saved and loaded, ${changed} of them differ. ${now}`;
    return {
      svg: svg(ui.width, y + 14 + list.height, said, body + list.body),
      say: said,
      table: () => ({ head: ["group", "register", s.from, s.to, "differs"], rows: data.groups.flatMap(([name, registers]) => registers.map((r) => [name, r, `0x${s.saved[r] || 0}`, `0x${s.loaded[r] || 0}`, differs(data, s, r) ? "yes" : "no"])) }),
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
