// Exit timeline: why did the guests leave the core, when, and how often? A lane for each vCPU, a row in it for each
// exception class, a mark for each exit; wide views count exits by pixel, so a million of them cost no more than a few.

/** Classes by how often they come, then decisions by rule; each row's class as a small number, 255 for what is neither. */
function classify(rows) {
  const of = new Uint8Array(rows.n).fill(255), counts = new Map(), number = new Map(), order = [];
  for (let i = 0; i < rows.n; i++) {
    const decision = rows.kind[i] === KIND.policy;
    if (rows.kind[i] !== KIND.exit && !decision) continue;
    const ec = decision ? POLICY + rows.detail[i] : ecOf(rows, i);
    let k = number.get(ec);
    if (k === undefined) number.set(ec, (k = order.push(ec) - 1));
    of[i] = k;
    counts.set(k, (counts.get(k) || 0) + 1);
  }
  const ranked = order.map((ec, k) => ({ ec, k, count: counts.get(k) })).sort((a, b) => (a.ec >= POLICY) - (b.ec >= POLICY) || b.count - a.count);
  const rank = Uint8Array.from(order, (_, k) => ranked.findIndex((c) => c.k === k));
  for (let i = 0; i < rows.n; i++) if (of[i] !== 255) of[i] = rank[of[i]];
  return { of, classes: ranked };
}

const windowOf = (data, ui) => steady(data, data.rows.n ? data.rows.time[ui.step] : 0, ui.zoom || 0);

/** Exits by lane, class and pixel column, between two times. */
function binned(data, view, wide) {
  const { rows, lanes } = data, classes = data.classes.length, columns = Math.ceil(wide / 3);
  const bins = new Uint32Array(lanes.length * classes * columns);
  const laneOf = new Uint8Array(256);
  lanes.forEach((vcpu, k) => (laneOf[vcpu] = k));
  const low = rowAt(rows, view.from), scale = columns / view.span;
  for (let i = low; i < rows.n && rows.time[i] <= view.to; i++) {
    const k = data.of[i];
    if (k === 255) continue;
    const at = Math.min(columns - 1, Math.floor((rows.time[i] - view.from) * scale));
    bins[(laneOf[rows.vcpu[i]] * classes + k) * columns + at]++;
  }
  return { bins, columns };
}

/** Bars of when a vCPU had the core, merged where they fall on one pixel. */
function coreBars(data, vcpu, view, place, y, fill) {
  let out = "", open = null;
  for (const stay of data.stays) {
    if (stay.vcpu !== vcpu || stay.to < view.from || stay.from > view.to) continue;
    const a = place(Math.max(stay.from, view.from)), b = Math.max(place(Math.min(stay.to, view.to)), a + 1.5);
    if (open && a <= open[1] + 0.7) open[1] = Math.max(open[1], b);
    else {
      if (open) out += box(open[0], y, open[1] - open[0], 6);
      open = [a, b];
    }
  }
  return path(open ? out + box(open[0], y, open[1] - open[0], 6) : out, fill);
}

function laneSvg(data, ui, view, lane, top, gutter, place, bins) {
  const classes = data.classes, narrow = gutter < 60, vcpu = data.lanes[lane];
  let out = text(0, top + 11, fit(personaName(data.state, vcpu), ui.width / 2), BOLD);
  out += rect(gutter, top + 17, ui.width - gutter, 6, col("panel"), 'rx="2"') + coreBars(data, vcpu, view, place, top + 17, col("c6"));
  classes.forEach((c, k) => {
    const y = top + 28 + k * 18, most = data.peak(bins, lane, k);
    out += line(gutter, y + 15.5, ui.width, y + 15.5);
    out += glyph(k, 6, y + 9) + (narrow ? "" : text(17, y + 13, fit(className(data.state.schema, c.ec), gutter - 24), 'font-size="11.5"', col("dim")));
    let marks = "";
    for (let at = 0; at < bins.columns; at++) {
      const found = bins.bins[(lane * classes.length + k) * bins.columns + at];
      if (!found) continue;
      const high = 5 + (10 * Math.log2(1 + found)) / Math.log2(1 + Math.max(most, 1));
      marks += box(gutter + at * 3, y + 15.5 - high, 2.4, high);
    }
    out += path(marks, series(k));
  });
  return out;
}

function overview(data, view, gutter, top, width) {
  const place = (t) => gutter + ((t - data.from) / Math.max(data.to - data.from, 1)) * (width - gutter);
  const left = place(view.from), wide = Math.max(place(view.to) - left, 3);
  return text(0, top + 9, gutter < 60 ? "all" : "whole trace", 'font-size="11"', col("dim")) + rect(gutter, top, width - gutter, 10, col("panel"), 'rx="3"') +
    rect(left, top, wide, 10, col("glow"), `rx="3" stroke="${col("accent")}"`);
}

function legend(data, width, top) {
  let x = 0, y = top, out = "";
  data.classes.forEach((c, k) => {
    const label = `${className(data.state.schema, c.ec)} ${count(c.count)}`, wide = 24 + label.length * 6.6;
    if (x + wide > width && x > 0) (x = 0), (y += 19);
    out += glyph(k, x + 6, y + 8) + text(x + 15, y + 12, label, 'font-size="12"');
    x += wide;
  });
  return { body: out, height: y - top + 24 };
}

function exitDetail(data, ui) {
  const { state, rows } = data, i = ui.step;
  if (!rows.n || rows.kind[i] !== KIND.exit) return "";
  const esr = rows.esr.at(i), ec = ecOf(rows, i), form = ec < 64 && state.forms[ec], wide = Math.min(ui.width, 720);
  const code = state.code?.[rows.pc.at(i).toString(16)];
  const lines = code && code.map(([at, said]) => (BigInt(`0x${at}`) === rows.pc.at(i) ? `<mark>${esc(`→ ${at}  ${said}`)}</mark>` : esc(`  ${at}  ${said}`))).join("\n");
  const low = { ...state.esr, width: 32, fields: state.esr.fields.filter((f) => f.msb < 32) };
  return (lines ? `<p><b>The guest's instructions around PC</b></p><pre tabindex="0" role="region" aria-label="Instructions around PC">${lines}</pre>` : "") +
    (ec < 64 ? registerHtml(esr >> 32n ? state.esr : low, esr, wide) : "") + (form ? registerHtml(form, esr & 0x1ffffffn, wide) : "");
}

function timelineSummary(data) {
  const { rows, state, lanes, classes } = data, names = lanes.map((vcpu) => personaName(state, vcpu)).join(" and ");
  const sum = (wanted) => classes.filter((c) => c.ec >= POLICY === wanted).reduce((all, c) => all + c.count, 0);
  const total = sum(false), decided = sum(true), most = classes[0], rules = decided ? ` ${plural(decided, "policy decision")}.` : "";
  return total ? `${plural(total, "exit")} of ${names} in ${duration(data.to - data.from)}; ${className(state.schema, most.ec)} is the most frequent with ${count(most.count)}.${rules}` : `No exits in this window.${rules}`;
}

const view = diagram({
  name: "timeline",
  title: "Exit timeline",
  question: "Why does a guest leave the core, when, and how often?",
  page: 25,
  ui: { zoom: 0 },
  keys: { "+": ["zoom", 1], "=": ["zoom", 1], "-": ["zoom", -1], 0: ["zoom", -99] },
  controls: () => button('data-act="zoom" data-value="1"', IN, "Zoom in", "+") + button('data-act="zoom" data-value="-1"', OUT, "Zoom out", "-"),
  prepare(state) {
    const data = opened(state), named = vcpusOf(data.rows);
    const found = { ...data, ...classify(data.rows), lanes: named, stays: staysOf(data.rows), still: keeper((draw) => draw()) };
    found.peak = ({ bins, columns }, lane, k) => {
      let most = 0;
      const first = (lane * found.classes.length + k) * columns;
      for (let at = first; at < first + columns; at++) most = Math.max(most, bins[at]);
      return most;
    };
    return found;
  },
  steps: (data) => data.rows.n,
  start(data) {
    const first = data.of.indexOf(0);
    return first < 0 ? 0 : first;
  },
  record: (data, step) => (data.rows.n ? data.rows.record[step] : -1),
  find: (data, record) => lastUpTo(data.rows, record),
  share: (data, ui) => ({ zoom: ui.zoom }),
  act(data, ui, name, value, where) {
    if (name === "zoom") ui.zoom = clamp((ui.zoom || 0) + Number(value), 0, Math.max(0, Math.ceil(Math.log2(data.to - data.from + 1)) - 3));
    if (name === "pick" && data.rows.n) {
      const gutter = ui.width < 560 ? 20 : 132, view = windowOf(data, ui);
      const time = view.from + ((where.x - gutter) / (ui.width - gutter)) * view.span;
      const after = clamp(rowAt(data.rows, time), 0, data.rows.n - 1), before = Math.max(0, after - 1);
      ui.step = data.rows.time[after] - time < time - data.rows.time[before] ? after : before;
    }
  },
  frame(data, ui) {
    const { rows, state, lanes, classes } = data, gutter = ui.width < 560 ? 20 : 132;
    const view = windowOf(data, ui), wide = ui.width - gutter, place = (t) => gutter + ((t - view.from) / view.span) * wide;
    const high = 34 + classes.length * 18, foot = lanes.length * high + 4;
    let body = data.still(`${view.from} ${view.span} ${ui.width}`, () => {
      const bins = binned(data, view, wide);
      return axis(view.from, view.to, place, 14, foot, wide) + lanes.map((_, lane) => laneSvg(data, ui, view, lane, lane * high, gutter, place, bins)).join("");
    });
    const at = rows.n ? place(rows.time[ui.step]) : gutter;
    body += `<g class="now">${line(at, 0, at, foot, col("accent"), 'stroke-width="2"')}<path d="M0 6L-5-2H5Z" transform="translate(${px(at)} 2)" fill="${col("accent")}"/></g>`;
    body += rect(gutter, 0, wide, foot, "transparent", 'data-act="pick"') + overview(data, view, gutter, foot + 38, ui.width);
    const key = legend(data, ui.width, foot + 60), said = timelineSummary(data);
    const now = rows.n ? `At ${duration(rows.time[ui.step])}, ${recordWords(state, rows, ui.step)}.` : "";
    return {
      svg: svg(ui.width, foot + 60 + key.height, `${said} ${now}`, body + key.body),
      say: `${said} ${now}`,
      detail: exitDetail(data, ui),
      table: () => {
        const first = clamp(ui.step - 100, 0, Math.max(0, rows.n - 200)), shown = [];
        for (let i = first; i < Math.min(first + 200, rows.n); i++)
          shown.push([count(rows.record[i]), count(rows.time[i]), personaName(state, rows.vcpu[i]), state.schema.kinds[rows.kind[i]].name, recordWords(state, rows, i)]);
        return { head: ["record", "time ns", "vcpu", "kind", "what"], rows: shown, at: ui.step - first };
      },
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
