// List registers: which interrupts does the guest see, which wait outside, and what becomes of each? Replayed from the
// records of virtual interrupts: put in a list register, acknowledged, completed, spilled for want of room.

const EVERY = 128; // a snapshot of the replay each so many steps

const blank = () => ({ waiting: new Map(), slots: new Map(), done: new Map(), spills: 0 });
const copied = (all) => new Map([...all].map(([vcpu, s]) => [vcpu, { waiting: new Map(s.waiting), slots: new Map([...s.slots].map(([k, v]) => [k, { ...v }])), done: new Map(s.done), spills: s.spills }]));

/** One record's effect on what is known of its vCPU's interrupts. */
function replayed(s, event, intid, priority, slot, time) {
  const dropSlots = () => [...s.slots].forEach(([k, held]) => held.intid === intid && s.slots.delete(k));
  if (event === "raised") s.waiting.set(intid, { intid, priority, why: "pending" });
  else if (event === "listed" || event === "acknowledged") {
    dropSlots();
    s.waiting.delete(intid);
    s.slots.set(slot, { intid, priority, active: event === "acknowledged" });
  } else if (event === "spilled") {
    dropSlots();
    s.waiting.set(intid, { intid, priority, why: "spilled", time });
    s.spills++;
  } else {
    dropSlots();
    s.waiting.delete(intid);
    if (event === "completed") s.done.set(intid, (s.done.get(intid) || 0) + 1);
  }
}

const eventOf = (data, i) => data.members[data.rows.detail[i]];

/** Is this interrupt spilled again when the list registers of row `i` were filled? Then a SPILLED row of that time follows. */
function spilledWith(data, i, intid) {
  const { rows } = data;
  for (let k = i + 1; k < rows.n && rows.time[k] === rows.time[i]; k++)
    if (rows.kind[k] === KIND.irq && rows.vcpu[k] === rows.vcpu[i] && rows.number[k] === intid && eventOf(data, k) === "spilled") return true;
  return false;
}

/** A spilled interrupt that is neither listed nor spilled again has been completed where no list register held it. */
function settled(data, s, i) {
  for (const [intid, entry] of [...s.waiting])
    if (entry.why === "spilled" && intid !== data.rows.number[i] && entry.time < data.rows.time[i] && !spilledWith(data, i, intid)) {
      s.waiting.delete(intid);
      s.done.set(intid, (s.done.get(intid) || 0) + 1);
    }
}

function applyRow(data, all, i) {
  const { rows } = data, vcpu = rows.vcpu[i];
  if (!all.has(vcpu)) all.set(vcpu, blank());
  if (eventOf(data, i) === "listed") settled(data, all.get(vcpu), i);
  replayed(all.get(vcpu), eventOf(data, i), rows.number[i], Number(rows.value.at(i)), Number(rows.argument.at(i)), rows.time[i]);
}

/** Everything as it is after step `k`, from the snapshot before it. */
function stateAt(data, k) {
  const from = Math.floor(k / EVERY), all = copied(data.snapshots[from]);
  for (let n = from * EVERY; n <= k; n++) applyRow(data, all, data.at[n]);
  return all;
}

/** An interrupt as a chip: its shape says its state, its words the rest. */
function chip(state, entry, look, x, y, wide, now) {
  const label = fit(intidName(state.schema, entry.intid), wide - 36, 6.4), mark = { pending: 0, active: 2, spilled: 5, done: 3 }[look], shape = { pending: "pending", active: "active", spilled: "spilled", done: "" }[look];
  return rect(x, y, wide, 34, now ? col("glow") : col("panel"), `rx="7" stroke="${now ? col("accent") : col("dim")}" stroke-width="${now ? 2.5 : 1}" ${now ? 'class="now"' : ""}`) +
    glyph(mark, x + 13, y + 17, 1.25) + text(x + 26, y + 14, label, `font-size="11.5" ${BOLD}`) +
    text(x + 26, y + 28, look === "done" ? `${count(entry.times)} times` : `${shape}, priority ${hex(entry.priority)}`, 'font-size="10.5"', col("dim"));
}

function listColumns(data, ui, vcpu, s, intid, event) {
  const { state } = data, narrow = ui.width < 560, wide = narrow ? ui.width - 2 : (ui.width - 42) / 3;
  const lists = [
    ["Outside, waiting", [...s.waiting.values()].sort((a, b) => a.priority - b.priority).map((e) => [e, e.why, e.intid === intid])],
    [`List registers of ${personaName(state, vcpu)}`, Array.from({ length: data.count }, (_, k) => { const e = s.slots.get(k); return [e, e?.active ? "active" : "pending", e?.intid === intid && event !== "completed", k]; })],
    ["Completed", [...s.done].sort((a, b) => a[0] - b[0]).map(([id, times]) => [{ intid: id, times }, "done", id === intid && event === "completed"])],
  ];
  let body = "", most = 0, y = 0;
  lists.forEach(([title, entries], k) => {
    const x = narrow ? 1 : 1 + k * (wide + 20);
    if (!narrow) y = 0;
    body += text(x, y + 14, title, BOLD);
    y += 24;
    if (!entries.length) body += text(x, y + 20, "none", "", col("dim")), (y += 34);
    entries.forEach(([e, look, now, slot]) => {
      const shift = slot === undefined ? 0 : 40;
      if (slot !== undefined) body += text(x, y + 22, `LR${slot}`, `${MONO} font-size="12"`, col("dim"));
      body += e ? chip(state, e, look, x + shift, y, wide - shift, now) : rect(x + shift, y, wide - shift, 34, col("paper"), `rx="7" stroke="${col("line")}" stroke-dasharray="4 3"`) + text(x + shift + 12, y + 22, "empty", 'font-size="11.5"', col("dim"));
      y += 42;
    });
    y += narrow ? 10 : 0;
    most = Math.max(most, y);
  });
  return { body, height: most };
}

const SAID = {
  raised: "is raised while its vCPU sleeps: it wants the core now", listed: "goes into list register", acknowledged: "was acknowledged by the guest (IAR) and is active in list register",
  completed: "was completed by the guest (EOI)", spilled: "finds no list register and waits outside", lowered: "is not pending any more: its line went low",
};

const view = diagram({
  name: "lists",
  title: "List registers",
  question: "Which interrupts does the guest see, which wait outside for want of a list register, and what becomes of each?",
  prepare(state) {
    const data = opened(state), { rows } = data, found = [];
    const kind = state.schema.kinds[KIND.irq], members = kind.fields.find(([name]) => name === "event")[2];
    let most = (state.list_registers || 1) - 1, spills = 0;
    Object.assign(data, { members, snapshots: [], at: found });
    const all = new Map();
    let vcpu = -1;
    for (let i = 0; i < rows.n; i++) {
      if (rows.kind[i] !== KIND.irq) continue;
      if (found.length % EVERY === 0) data.snapshots.push(copied(all));
      found.push(i);
      applyRow(data, all, i);
      if (members[rows.detail[i]] === "spilled") spills++;
      else if (members[rows.detail[i]] === "listed") most = Math.max(most, Math.min(15, Number(rows.argument.at(i))));
      vcpu = rows.vcpu[i];
    }
    return { ...data, at: found, count: most + 1, spills, vcpu };
  },
  steps: (data) => data.at.length,
  /** The first spill is the story; without one, the first acknowledgement or what comes first. */
  start(data) {
    const by = (name) => data.at.findIndex((i) => eventOf(data, i) === name);
    return Math.max(0, [by("spilled"), by("acknowledged"), by("completed"), 0].find((k) => k >= 0));
  },
  record: (data, step) => (data.at.length ? data.rows.record[data.at[step]] : -1),
  find: (data, record) => lastUpTo(data.rows, record, data.at),
  frame(data, ui) {
    const { rows, state } = data, plan = `${plural(data.count, "list register")}, ${plural(data.spills, "spill")} in ${plural(data.at.length, "step")}.`;
    if (!data.at.length) return { svg: svg(ui.width, 40, "no interrupts", text(0, 24, "No virtual interrupt in this window.")), say: "No virtual interrupt in this window.", table: () => ({ head: ["time ns"], rows: [] }) };
    const i = data.at[ui.step], vcpu = rows.vcpu[i], event = eventOf(data, i), intid = rows.number[i], s = stateAt(data, ui.step).get(vcpu);
    const slot = event === "listed" || event === "acknowledged" ? ` ${rows.argument.at(i)}` : "";
    const now = `At ${duration(rows.time[i])}, ${personaName(state, vcpu)}: interrupt ${intidName(state.schema, intid)} ${SAID[event]}${slot}.`;
    const { body, height } = listColumns(data, ui, vcpu, s, intid, event);
    const apart = Math.min(90, ui.width / 4 - 2);
    const legend = [["pending", 0], ["active", 2], ["spilled", 5], ["completed", 3]].map(([name, k], n) => glyph(k, 6 + n * apart, height + 14) + text(16 + n * apart, height + 18, name, 'font-size="11.5"', col("dim"))).join("");
    return {
      svg: svg(ui.width, height + 28, `${plan} ${now}`, body + legend),
      say: `${plan} ${now}`,
      table: () => {
        const first = clamp(ui.step - 100, 0, Math.max(0, data.at.length - 200)), part = data.at.slice(first, first + 200);
        return { head: ["time ns", "vcpu", "event", "interrupt", "priority", "list register"], at: ui.step - first,
          rows: part.map((r) => [count(rows.time[r]), personaName(state, rows.vcpu[r]), eventOf(data, r), intidName(state.schema, rows.number[r]), hex(rows.value.at(r)), String(rows.argument.at(r))]) };
      },
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
