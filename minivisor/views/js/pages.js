// Page ownership: who can reach which page of physical memory, and since when? Replayed from the changes of each persona's
// stage 2; a cell stands for as many pages as fit a map of a few hundred cells, and a letter stands beside each colour.

/** The changes of a window in order: {i, time, vcpu, event, ipa, pa, size, prot}. */
function changesOf(data) {
  const { rows, state } = data, kind = state.schema.kinds[KIND.stage2], members = kind.fields.find(([name]) => name === "event")[2], found = [];
  for (let i = 0; i < rows.n; i++)
    if (rows.kind[i] === KIND.stage2)
      found.push({ i, time: rows.time[i], owner: personaOf(state, rows.vcpu[i]), event: members[rows.detail[i]], ipa: Number(rows.ipa.at(i)), pa: Number(rows.value.at(i)), size: Number(rows.argument.at(i)), prot: state.texts[rows.number[i]] || "" });
  return found;
}
const personaOf = (state, vcpu) => state.names[vcpu] || `vcpu ${vcpu}`;

/** Mappings as they are after change `k`: [{owner, ipa, pa, size, prot}], by address. */
function mapped(data, k) {
  let held = data.fixed.map((f) => ({ ...f }));
  for (const c of data.changes.slice(0, k + 1)) {
    const inside = (m) => m.owner === c.owner && m.ipa !== undefined && m.ipa < c.ipa + c.size && c.ipa < m.ipa + m.size;
    const rest = [];
    for (const m of held) {
      if (!inside(m)) rest.push(m);
      else {
        // What lies before and after the changed part stays as it was.
        if (m.ipa < c.ipa) rest.push({ ...m, size: c.ipa - m.ipa });
        const end = c.ipa + c.size, over = m.ipa + m.size - end;
        if (over > 0) rest.push({ ...m, ipa: end, pa: m.pa + (end - m.ipa), size: over });
        if (c.event === "protect") {
          const low = Math.max(m.ipa, c.ipa), high = Math.min(m.ipa + m.size, end);
          rest.push({ ...m, ipa: low, pa: m.pa + (low - m.ipa), size: high - low, prot: c.prot });
        }
      }
    }
    held = rest;
    if (c.event === "map") held.push({ owner: c.owner, ipa: c.ipa, pa: c.pa, size: c.size, prot: c.prot });
  }
  return held.sort((a, b) => a.pa - b.pa);
}

const bytes = (n) => {
  const [unit, per] = n >= 2 ** 30 ? ["GiB", 2 ** 30] : n >= 2 ** 20 ? ["MiB", 2 ** 20] : ["KiB", 2 ** 10];
  return `${Number((n / per).toFixed(1))} ${unit}`;
};
const at64 = (n) => `0x${n.toString(16)}`;

/** Banks of addresses that are near each other, each with a cell size that gives at most `most` cells. */
function banksOf(data, most) {
  const spans = [...data.fixed, ...data.changes.filter((c) => c.event === "map")].map((c) => [c.pa, c.pa + c.size]).sort((a, b) => a[0] - b[0]), banks = [];
  for (const [from, to] of spans) {
    const last = banks[banks.length - 1];
    if (last && from - last.to <= 2 ** 24) last.to = Math.max(last.to, to);
    else banks.push({ from, to });
  }
  for (const bank of banks) {
    bank.cell = 4096;
    while ((bank.to - bank.from) / bank.cell > most) bank.cell *= 2;
    bank.from = Math.floor(bank.from / bank.cell) * bank.cell;
  }
  return banks;
}

function bankSvg(data, held, bank, top, width, now) {
  const side = 16, per = Math.floor(width / side), cells = Math.ceil((bank.to - bank.from) / bank.cell);
  let out = text(0, top + 12, `PA ${at64(bank.from)} to ${at64(bank.to - 1)}`, `${MONO} font-size="11.5"`) + text(width, top + 12, `a cell is ${bytes(bank.cell)}`, `${END} font-size="11"`, col("dim"));
  out += `<g ${MIDDLE} font-size="10" ${BOLD}>`; // once, not in each of some hundred cells
  for (let k = 0; k < cells; k++) {
    const from = bank.from + k * bank.cell, to = from + bank.cell, x = (k % per) * side, y = top + 20 + Math.floor(k / per) * side;
    const owners = [...new Set(held.filter((m) => m.pa < to && from < m.pa + m.size).map((m) => m.owner))];
    const part = held.find((m) => m.pa < to && from < m.pa + m.size), fresh = now && now.event !== "unmap" && now.pa < to && from < now.pa + now.size;
    const read = part && /^r(x)?$|device-r$/.test(part.prot || "");
    const who = owners.length === 1 ? data.owners.indexOf(owners[0]) : -1, fill = owners.length === 0 ? "none" : who < 0 ? col("c6") : series(who);
    const letter = owners.length === 0 ? "" : owners.length > 1 ? "+" : data.letters[who];
    out += `<g><title>${esc(`${at64(from)}: ${owners.join(" and ") || "nobody's"}${part?.prot ? `, ${part.prot}` : ""}`)}</title>` +
      rect(x + 1, y + 1, side - 2, side - 2, read ? "none" : fill, `rx="2" stroke="${owners.length ? (fresh ? col("ink") : fill) : col("line")}" stroke-width="${fresh ? 1.6 : read ? 2 : 1}"`) +
      (letter ? text(x + side / 2, y + 12, letter, "", read ? col("ink") : col("paper")) : "") + "</g>";
  }
  out += "</g>";
  return { body: out, height: 30 + Math.ceil(cells / per) * side };
}

const view = diagram({
  name: "pages",
  title: "Page ownership",
  question: "Who can reach which page of physical memory, and since when?",
  prepare(state) {
    const data = opened(state), changes = changesOf(data), fixed = state.fixed || [];
    const owners = [...new Set([...changes.map((c) => c.owner), ...fixed.map((f) => f.owner)])];
    const letters = owners.map((name, k) => { const own = [...name].find((c) => /[a-z]/i.test(c) && !owners.slice(0, k).some((o) => o[0]?.toLowerCase() === c.toLowerCase())); return (own || String(k + 1)).toUpperCase(); });
    return { ...data, changes, fixed, owners, letters };
  },
  steps: (data) => data.changes.length,
  start: (data) => data.changes.length - 1,
  record: (data, step) => (data.changes.length ? data.rows.record[data.changes[step].i] : -1),
  find: (data, record) => data.changes.findLastIndex((c) => data.rows.record[c.i] <= record),
  frame(data, ui) {
    const held = mapped(data, ui.step), now = data.changes[ui.step];
    if (!now) return { svg: svg(ui.width, 40, "no change", text(0, 24, "Stage 2 did not change in this window.")), say: "Stage 2 did not change in this window.", table: () => ({ head: ["owner"], rows: [] }) };
    let body = "", y = 0, x = 0;
    for (const bank of banksOf(data, ui.width < 560 ? 256 : 512)) {
      const drawn = bankSvg(data, held, bank, y, ui.width, now);
      body += drawn.body;
      y += drawn.height + 8;
    }
    const sum = (owner) => held.filter((m) => m.owner === owner).reduce((all, m) => all + m.size, 0);
    for (const [label, fill, letter, hollow] of [...data.owners.map((o, k) => [`${o}: ${bytes(sum(o))}`, series(k), data.letters[k]]), ["several", col("c6"), "+"], ["read only", "none", "", true], ["nobody's", "none", ""]]) {
      const wide = 30 + label.length * 6.8;
      if (x + wide > ui.width) (x = 0), (y += 20);
      body += rect(x + 1, y + 1, 14, 14, fill, `rx="2" stroke="${hollow ? col("ink") : fill === "none" ? col("line") : fill}" stroke-width="${hollow ? 2 : 1}"`) + text(x + 8, y + 12, letter, `${MIDDLE} font-size="10" ${BOLD}`, col("paper")) + text(x + 20, y + 12, label, 'font-size="12"');
      x += wide;
    }
    const verb = { map: "can now reach", unmap: "loses", protect: "may now only use" }[now.event];
    const said = `At ${duration(now.time)}, ${now.owner} ${verb} ${bytes(now.size)} at IPA ${at64(now.ipa)}${now.event === "unmap" ? "" : now.event === "map" ? `, PA ${at64(now.pa)}` : ""}${now.prot ? ` (${now.prot})` : ""}. ${data.owners.map((o) => `${o} reaches ${bytes(sum(o))}`).join(", ")}.`;
    return {
      svg: svg(ui.width, y + 24, said, body),
      say: said,
      table: () => ({ head: ["owner", "PA", "IPA", "size", "may"], rows: held.map((m) => [m.owner, at64(m.pa), m.ipa === undefined ? "" : at64(m.ipa), bytes(m.size), m.prot || ""]) }),
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
