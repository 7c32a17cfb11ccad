// Two-stage walk: how does a virtual address become a physical one, and where does it stop? The stage-1 tables lie in the
// guest's memory, so each of their addresses is walked through stage 2 first: a column for each of them, and one for the result.

const SLICES = [[47, 39], [38, 30], [29, 21], [20, 12], [11, 0]];

/** The columns of one walk: the stage-2 steps towards a stage-1 descriptor, then that; the last column is the address itself. */
function columnsOf(walk) {
  const columns = [{ below: [], top: null }];
  walk.steps.forEach((step, at) => {
    const column = columns[columns.length - 1];
    if (step.stage === 2) column.below.push({ step, at });
    else {
      column.top = { step, at };
      columns.push({ below: [], top: null });
    }
  });
  return columns.filter((column, k) => column.top || column.below.length || k === 0);
}

/** The bits of an address, with the slice that selects a descriptor at `level` marked; -1 marks the offset. */
function addressBar(label, address, level, top, width, tint) {
  const parts = SLICES.map(([msb, lsb], k) => {
    const value = (address >> BigInt(lsb)) & ((1n << BigInt(msb - lsb + 1)) - 1n), now = k === level;
    const share = [0.16, 0.2, 0.2, 0.2, 0.24], left = 92 + (width - 92) * share.slice(0, k).reduce((a, b) => a + b, 0), wide = (width - 92) * share[k];
    const box = rect(left, top, wide - 2, 34, now ? col("glow") : col("panel"), `rx="4" stroke="${now ? tint : col("line")}" stroke-width="${now ? 2.5 : 1}"`);
    return box + text(left + wide / 2, top + 14, `${msb}:${lsb}`, `${MIDDLE} font-size="10.5"`, col("dim")) + text(left + wide / 2, top + 28, k === 4 ? hex(value) : value, `${MIDDLE} ${MONO} ${now ? BOLD : ""}`);
  });
  return text(0, top + 14, label, BOLD) + text(0, top + 28, fit(hex(address), 90, 6), `font-size="10" ${MONO}`, col("dim")) + parts.join("");
}

const shortMeaning = (step) => (step.descriptor === null ? "no memory" : step.meaning.split(/[ ,]/).slice(0, /^\d/.test(step.meaning) ? 3 : 1).join(" "));

function stepBox(walk, item, now, left, top, wide, high) {
  const { step, at } = item, seen = at <= now, current = at === now, stopped = step.fault && seen, tint = series(step.stage === 1 ? 0 : 2);
  const frame = `rx="6" stroke="${stopped ? col("bad") : current ? col("accent") : seen ? tint : col("line")}" stroke-width="${current || stopped ? 2.5 : 1.3}" ${seen ? "" : 'stroke-dasharray="4 3"'}`;
  const ink = seen ? col("ink") : col("dim"), middle = left + wide / 2;
  const words = seen ? (stopped ? "✕ fault" : shortMeaning(step)) : "";
  return `<g data-step="${walk.first + at}" ${current ? 'class="now"' : ""}><title>${esc(`step ${at + 1}: ${step.meaning}`)}</title>` +
    rect(left, top, wide, high, current ? col("glow") : seen ? col("panel") : col("paper"), frame) +
    text(left + 7, top + 15, at + 1, 'font-size="10.5"', col("dim")) + text(middle, top + 15, `L${step.level}`, `${MIDDLE} ${BOLD}`, ink) +
    text(middle, top + 30, `[${step.index}]`, `${MIDDLE} ${MONO} font-size="11"`, ink) +
    text(middle, top + 44, fit(words, wide - 6, 6), `${MIDDLE} font-size="11"`, stopped ? col("bad") : ink) + "</g>";
}

function walkGrid(walk, now, top, width) {
  const columns = columnsOf(walk), gutter = width < 520 ? 0 : 92, gap = 10, wide = (width - gutter - 2 - gap * (columns.length - 1)) / columns.length;
  const depth = Math.max(...columns.map((column) => column.below.length), 1), high = 50, row = 64;
  let out = gutter ? text(0, top + 28, "stage 1", BOLD) + text(0, top + 44, "guest's tables", 'font-size="10.5"', col("dim")) + text(0, top + row + 28, "stage 2", BOLD) + text(0, top + row + 44, "EL2's tables", 'font-size="10.5"', col("dim")) : "";
  columns.forEach((column, k) => {
    const left = gutter + 1 + k * (wide + gap);
    const goal = column.top ? "" : walk.fault && now >= walk.steps.length - 1 ? "no PA" : now >= walk.steps.length ? "PA" : "IPA";
    column.below.forEach((item, n) => {
      out += stepBox(walk, item, now, left, top + row * (n + 1) + 8, wide, high);
      if (n) out += line(left + wide / 2, top + row * n + high + 8, left + wide / 2, top + row * (n + 1) + 8, col("dim"));
    });
    if (column.top) out += stepBox(walk, column.top, now, left, top, wide, high);
    else out += rect(left, top, wide, high, now >= walk.steps.length && !walk.fault ? col("glow") : col("paper"), `rx="6" stroke="${now >= walk.steps.length ? (walk.fault ? col("bad") : col("accent")) : col("line")}" stroke-dasharray="4 3"`) + text(left + wide / 2, top + 30, goal, `${MIDDLE} ${BOLD}`, col("dim"));
    if (k + 1 < columns.length) out += line(left + wide, top + high / 2, left + wide + gap, top + high / 2, col("dim"), 'stroke-width="1.5"');
    if (column.top && column.below.length) out += line(left + wide / 2, top + high, left + wide / 2, top + row + 8, col("line"), 'stroke-dasharray="2 3"');
  });
  return { body: out, height: row * (depth + 1) + 4 };
}

/** Which walk a step is of, and which of its steps; the one after the last is the result. */
function placeOf(data, step) {
  const walk = data.walks.findLast((w) => w.first <= step) || data.walks[0];
  return { walk, now: step - walk.first };
}

const KINDS = { r: "read", w: "write", x: "fetch" };

function stepWords(walk, now) {
  const asked = `A ${KINDS[walk.kind]} of VA ${walk.va} at EL${walk.el}${walk.who ? ` by ${walk.who}` : ""}`;
  if (now >= walk.steps.length) return `${asked}, after ${plural(walk.steps.length, "descriptor")}: ${walk.result}.`;
  const step = walk.steps[now], whose = step.stage === 2 && columnsOf(walk).some((c) => c.top && c.below.some((b) => b.at === now));
  const why = step.stage === 1 ? "the guest's own tables" : whose ? "where the guest's table really is" : "where the address really is";
  return `${asked}, step ${now + 1} of ${walk.steps.length}: stage ${step.stage} level ${step.level}, descriptor ${step.index}, ${why}: ${step.meaning}; then ${step.why}.`;
}

/** Which form a descriptor has where it stands; none when it is invalid or reserved. */
function formOf(stage, level, descriptor) {
  const type = Number(descriptor & 3n), leaf = level === 3;
  if (type === 3) return leaf ? `S${stage}_PAGE` : `S${stage}_TABLE`;
  return type === 1 && (level === 1 || level === 2) ? `S${stage}_BLOCK_L${level}` : null;
}

function meaningOf(state, stage, level, descriptor) {
  const form = formOf(stage, level, descriptor), register = state.descriptors[form];
  if (!register) return descriptor & 1n ? "reserved, a translation fault" : "invalid, a translation fault";
  const named = (name) => register.fields.find((f) => f.name === name), address = (name) => hex(valueOf(named(name), descriptor) << BigInt(named(name).unit));
  if (form.endsWith("TABLE")) return `table at ${address("Table")}`;
  return `${{ 1: "1 GiB block", 2: "2 MiB block", 3: "page" }[level]} at ${address("OA")}, ${meaning(named(stage === 1 ? "AP" : "S2AP"), descriptor)}`;
}

/** The walks that a trace recorded: a WALK record, and the STEP records after it. */
function recordedWalks(data) {
  const { rows, state } = data, found = [];
  for (let i = 0; i < rows.n; i++) {
    if (rows.kind[i] !== KIND.walk) continue;
    const fsc = rows.number[i], walk = { va: hex(rows.far.at(i)), kind: "rwx"[rows.detail[i]], el: rows.outcome[i], who: personaName(state, rows.vcpu[i]), record: rows.record[i], steps: [], at: rows.time[i] };
    const most = Number(rows.argument.at(i));
    for (let k = i + 1; k < rows.n && walk.steps.length < most && rows.kind[k] === KIND.step; k++) {
      const stage = rows.outcome[k], level = rows.detail[k], descriptor = rows.value.at(k);
      walk.steps.push({ stage, level, index: rows.number[k], table: hex(rows.ipa.at(k)), wanted: hex(rows.far.at(k)), descriptor: hex(descriptor), meaning: meaningOf(state, stage, level, descriptor), why: state.texts[Number(rows.argument.at(k))] ?? "" });
    }
    const last = walk.steps[walk.steps.length - 1];
    walk.fault = fsc ? last?.why || state.fsc[fsc] || `fault status ${hex(fsc)}` : null;
    if (fsc && last) last.fault = true;
    if (!fsc) (walk.ipa = hex(rows.ipa.at(i))), (walk.pa = hex(rows.value.at(i)));
    walk.result = walk.fault || `IPA ${walk.ipa}, PA ${walk.pa}`;
    found.push(walk);
  }
  return found;
}

const view = diagram({
  name: "walk",
  title: "Two-stage walk",
  question: "How does a virtual address become a physical one, and at which step does it stop?",
  prepare(state) {
    let first = 0;
    const given = state.walks || recordedWalks(opened(state));
    const walks = given.map((walk) => {
      const placed = { ...walk, first };
      first += walk.steps.length + 1;
      return placed;
    });
    return { state, walks, total: first, trace: state.trace, note: state.note };
  },
  steps: (data) => data.total,
  start: (data) => (data.walks.length ? data.walks[0].steps.length : 0),
  record: (data, step) => (data.walks.length ? (placeOf(data, step).walk.record ?? -1) : -1),
  find: (data, record) => data.walks.findLast((w) => w.record !== undefined && w.record <= record)?.first ?? -1,
  frame(data, ui) {
    if (!data.walks.length) return { svg: svg(ui.width, 40, "no walk", text(0, 24, "No walk was recorded.")), say: "No walk was recorded.", table: () => ({ head: ["stage"], rows: [] }) };
    const { walk, now } = placeOf(data, ui.step), step = walk.steps[Math.min(now, walk.steps.length - 1)], last = now >= walk.steps.length;
    const which = (stage) => (!last && step && step.stage === stage ? step.level : last ? 4 : -1);
    const va = BigInt(walk.va), wanted = last ? (walk.ipa ? BigInt(walk.ipa) : null) : step?.stage === 2 ? BigInt(step.wanted) : null;
    let body = addressBar("VA", va, which(1), 0, ui.width, series(0));
    const grid = walkGrid(walk, now, 50, ui.width);
    body += grid.body;
    let y = 62 + grid.height;
    if (wanted !== null) body += addressBar("IPA", wanted, which(2), y, ui.width, series(2)), (y += 44);
    if (last && walk.pa) body += addressBar("PA", BigInt(walk.pa), 4, y, ui.width, col("accent")), (y += 44);
    const mark = walk.fault ? `✕ ${walk.fault}` : `✓ ${walk.result}`;
    body += text(0, y + 14, fit(last ? mark : "", ui.width, 7), BOLD, walk.fault ? col("bad") : col("ink"));
    const register = !last && step && step.descriptor !== null && data.state.descriptors[formOf(step.stage, step.level, BigInt(step.descriptor))];
    return {
      svg: svg(ui.width, y + 24, stepWords(walk, now), body),
      say: stepWords(walk, now),
      detail: register ? registerHtml(register, BigInt(step.descriptor), Math.min(ui.width, 720)) : "",
      table: () => ({ head: ["step", "stage", "level", "table (PA)", "index", "descriptor", "means", "then"], at: Math.min(now, walk.steps.length - 1),
        rows: walk.steps.map((s, k) => [k + 1, s.stage, s.level, s.table, s.index, s.descriptor ?? "", s.meaning, s.why]) }),
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
