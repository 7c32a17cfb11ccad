// Scheduler: who has the core, who waits for it, and how long after a wake-up? From the records alone each vCPU's life is
// asleep, ready, running; running time gives its share, and ready time that began with a wake-up is a latency.

const ENDING = ["wait", "off", "shutdown", "reset", "stop"];

/** Spans {vcpu, state, from, to, woken} of every vCPU: minivisor/trace/usage.py says what the states are. */
function livesOf(data) {
  const { rows, state } = data, lives = new Map(), spans = [];
  const ends = new Set(ENDING.map((name) => state.schema.outcomes.indexOf(name))), raised = 0, start = data.from;
  let running = 255, left = 0;
  const life = (vcpu) => lives.get(vcpu) || lives.set(vcpu, { state: "asleep", from: start, woken: false }).get(vcpu);
  const become = (vcpu, to, time, woken = false) => {
    const l = life(vcpu);
    if (l.state === to) return;
    spans.push({ vcpu, state: l.state, from: l.from, to: time, woken: l.woken });
    Object.assign(l, { state: to, from: time, woken });
  };
  const settle = () => {
    if (running !== 255) become(running, "asleep", left);
    running = 255;
  };
  let last = -1;
  for (let i = 0; i < rows.n; i++) {
    const kind = rows.kind[i], vcpu = rows.vcpu[i], time = rows.time[i];
    if (kind === KIND.exit && vcpu === running) last = time;
    if (kind === KIND.switch) {
      const previous = rows.number[i] & 255;
      if (previous === 255) settle();
      else become(previous, "ready", time);
      become(vcpu, "running", time);
      running = vcpu;
      left = last = time;
    } else if (kind === KIND.sched) {
      for (const [other, l] of lives) if (l.state === "ready" && !((rows.number[i] >> other) & 1)) become(other, "asleep", time);
    } else if (kind === KIND.start || (kind === KIND.irq && rows.detail[i] === raised)) {
      if (vcpu === running) settle();
      become(vcpu, "ready", time, kind === KIND.irq);
    } else if (vcpu === running && (kind === KIND.stop || (kind === KIND.exit && ends.has(rows.outcome[i])))) left = time;
  }
  if (last === left) settle();
  for (const [vcpu, l] of lives) spans.push({ vcpu, state: l.state, from: l.from, to: Math.max(data.to, l.from), woken: false });
  return spans;
}

function measured(spans, vcpu, whole) {
  const own = spans.filter((s) => s.vcpu === vcpu), sum = (name) => own.reduce((all, s) => all + (s.state === name ? s.to - s.from : 0), 0);
  const latencies = own.filter((s) => s.woken && s.state === "ready").map((s) => s.to - s.from).sort((a, b) => a - b);
  const longest = own.reduce((most, s) => (s.state === "ready" ? Math.max(most, s.to - s.from) : most), 0);
  return { vcpu, ran: sum("running"), waited: sum("ready"), share: sum("running") / Math.max(whole, 1), latencies, longest };
}
const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;
const quantile = (sorted, q) => (sorted.length ? sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] : 0);

/** Spans of one state in view, merged where they fall on one pixel: [[x1, x2], …]. */
function merged(spans, state, view, place) {
  const out = [];
  for (const s of spans) {
    if (s.state !== state || s.to < view.from || s.from > view.to || s.to === s.from) continue;
    const a = place(Math.max(s.from, view.from)), b = Math.max(place(Math.min(s.to, view.to)), a + 1.2), open = out[out.length - 1];
    if (open && a <= open[1] + 0.6) open[1] = Math.max(open[1], b);
    else out.push([a, b]);
  }
  return out;
}

function ganttLane(data, ui, view, place, k, top, gutter) {
  const vcpu = data.lanes[k], m = data.measures[k], spans = data.byVcpu[k], fill = series(k);
  let out = text(0, top + 12, fit(personaName(data.state, vcpu), ui.width * 0.5), BOLD) + text(ui.width, top + 12, `${percent(m.share)} of the core`, `${END} font-size="11.5"`, col("dim"));
  out += rect(gutter, top + 20, ui.width - gutter, 26, col("panel"), 'rx="3"');
  const all = (name, y, h) => merged(spans, name, view, place).map(([a, b]) => box(a, y, b - a, h)).join("");
  out += path(all("ready", top + 27, 12), "none", `stroke="${fill}" stroke-width="1.3" stroke-dasharray="3 2"`) + path(all("running", top + 20, 26), fill);
  let at = -99;
  for (const s of spans) {
    const x = place(s.from);
    if (!s.woken || s.state !== "ready" || s.from < view.from || s.from > view.to || x - at < 7) continue;
    out += glyph(5, (at = x), top + 52, 0.9, col("ink"));
  }
  return out;
}

/** Latencies in classes of powers of two of a microsecond, a bar for each vCPU. */
function histogram(data, top, width) {
  const classes = new Map(), bin = (ns) => (ns < 1 ? -5 : Math.floor(Math.log2(Math.max(ns / 1000, 2 ** -4))));
  data.measures.forEach((m, k) => m.latencies.forEach((ns) => {
    const b = bin(ns);
    if (!classes.has(b)) classes.set(b, data.lanes.map(() => 0));
    classes.get(b)[k]++;
  }));
  const title = text(0, top + 12, "Wake-up latency", BOLD) + text(width, top + 12, "wake-ups", `${END} font-size="11"`, col("dim"));
  if (!classes.size) return { body: title + text(0, top + 34, "nobody was woken in this window", "", col("dim")), height: 44 };
  const keys = [...classes.keys()], low = Math.min(...keys), high = Math.max(...keys), most = Math.max(...[...classes.values()].flat());
  let body = title, y = top + 22;
  for (let b = low; b <= high; b++) {
    if (low === -5 && b > low && b < Math.min(...keys.filter((k) => k > -5), high)) continue;
    const label = b === -5 ? "none" : `under ${duration(2 ** (b + 1) * 1000)}`, found = classes.get(b) || data.lanes.map(() => 0);
    body += text(104, y + (data.lanes.length * 12) / 2 + 4, label, `${END} font-size="11"`, col("dim"));
    found.forEach((n, k) => {
      const wide = (n / most) * (width - 170);
      if (n) body += rect(114, y + k * 12 + 1, Math.max(wide, 2), 10, series(k), 'rx="2"') + glyph(k, 120 + Math.max(wide, 2) + 4, y + k * 12 + 6, 0.85) + text(136 + Math.max(wide, 2), y + k * 12 + 10, count(n), 'font-size="10.5"');
    });
    y += data.lanes.length * 12 + 6;
  }
  return { body, height: y - top };
}

function scheduleWords(data) {
  const shares = data.measures.map((m) => `${personaName(data.state, m.vcpu)} had ${percent(m.share)}`).join(", ");
  const woken = data.measures.flatMap((m) => m.latencies).sort((a, b) => a - b);
  const late = woken.length ? ` ${plural(woken.length, "wake-up")}: median latency ${duration(quantile(woken, 0.5))}, longest ${duration(woken[woken.length - 1])}.` : "";
  return `${shares || "Nobody ran"} of the core in ${duration(data.to - data.from)}.${late}`;
}

/** What the policy said of a choice. */
function whyOf({ state, rows }, i) {
  const words = state.texts[Number(rows.argument.at(i))];
  return words ? `: ${words}` : "";
}

const zoomed = (data, ui) => steady(data, data.at.length ? data.rows.time[data.at[ui.step]] : data.from, ui.zoom || 0);

const view = diagram({
  name: "scheduler",
  title: "Scheduler",
  question: "Who has the core, who waits for it, and how long after being woken?",
  ui: { zoom: 0 },
  keys: { "+": ["zoom", 1], "=": ["zoom", 1], "-": ["zoom", -1] },
  controls: () => button('data-act="zoom" data-value="1"', IN, "Zoom in", "+") + button('data-act="zoom" data-value="-1"', OUT, "Zoom out", "-"),
  prepare(state) {
    const data = opened(state), spans = livesOf(data), lanes = [...new Set(spans.map((s) => s.vcpu))].sort((a, b) => a - b), at = [];
    for (let i = 0; i < data.rows.n; i++) if (data.rows.kind[i] === KIND.sched) at.push(i);
    const byVcpu = lanes.map((vcpu) => spans.filter((s) => s.vcpu === vcpu));
    const found = { ...data, lanes, at, byVcpu, measures: lanes.map((vcpu, k) => measured(byVcpu[k], vcpu, data.to - data.from)) };
    return { ...found, words: scheduleWords(found), still: keeper((draw) => draw()), bars: keeper(histogram) };
  },
  steps: (data) => data.at.length,
  /** The first decision between two who want the core; else the first. */
  start: (data) => Math.max(0, data.at.findIndex((i) => (data.rows.number[i] & (data.rows.number[i] - 1)) !== 0)),
  record: (data, step) => (data.at.length ? data.rows.record[data.at[step]] : -1),
  find: (data, record) => lastUpTo(data.rows, record, data.at),
  share: (data, ui) => ({ zoom: ui.zoom }),
  act(data, ui, name, value, where) {
    if (name === "zoom") ui.zoom = clamp((ui.zoom || 0) + Number(value), 0, 20);
    if (name === "pick" && data.at.length) {
      const gutter = 0, view = zoomed(data, ui), time = view.from + (where.x / (ui.width - gutter)) * view.span;
      ui.step = Math.max(0, lastUpTo(data.rows, data.rows.record[Math.min(rowAt(data.rows, time), data.rows.n - 1)], data.at));
    }
  },
  frame(data, ui) {
    const { rows, state, lanes, at } = data, view = zoomed(data, ui), place = (t) => ((t - view.from) / view.span) * ui.width;
    const high = 64, foot = lanes.length * high;
    let body = data.still(`${view.from} ${view.span} ${ui.width}`, () =>
      axis(view.from, view.to, place, 18, foot, ui.width) + lanes.map((_, k) => ganttLane(data, ui, view, place, k, k * high, 0)).join(""));
    if (at.length) {
      const x = place(rows.time[at[ui.step]]), slice = Number(rows.value.at(at[ui.step])), lane = lanes.indexOf(rows.vcpu[at[ui.step]]);
      if (lane >= 0) body += rect(x, lane * high + 17, Math.max(2, place(rows.time[at[ui.step]] + slice) - x), 32, "none", `stroke="${col("accent")}" stroke-width="2" stroke-dasharray="5 3"`);
      body += `<g class="now">${line(x, 16, x, foot, col("accent"), 'stroke-width="2"')}</g>`;
    }
    body += rect(0, 16, ui.width, foot - 16, "transparent", 'data-act="pick"');
    const legend = [["has the core", rect(0, 0, 18, 10, col("dim"))], ["is ready, waits", rect(0, 0, 18, 10, "none", `stroke="${col("dim")}" stroke-dasharray="3 2"`)], ["woken", glyph(5, 9, 5, 0.9, col("ink"))], ["slice granted", rect(0, 0, 18, 10, "none", `stroke="${col("accent")}" stroke-width="2" stroke-dasharray="5 3"`)]];
    let x = 0, y = foot + 38;
    legend.forEach(([name, mark]) => {
      const wide = 34 + name.length * 6.6;
      if (x + wide > ui.width) (x = 0), (y += 18);
      body += `<g transform="translate(${px(x)} ${px(y)})">${mark}${text(24, 9, name, 'font-size="11.5"', col("dim"))}</g>`;
      x += wide;
    });
    const bars = data.bars(`${y} ${ui.width}`, data, y + 28, ui.width), i = at[ui.step], who = at.length ? rows.vcpu[i] : 255;
    const ready = at.length ? lanes.filter((vcpu) => (rows.number[i] >> vcpu) & 1).map((vcpu) => personaName(state, vcpu)) : [];
    const now = at.length ? `At ${duration(rows.time[i])}: ${ready.join(" and ") || "nobody"} ready; ${personaName(state, who)} gets the core for ${duration(Number(rows.value.at(i)))}${whyOf(data, i)}.` : "";
    const said = `${data.words} ${now}`;
    return {
      svg: svg(ui.width, y + 32 + bars.height, said, body + bars.body),
      say: said,
      table: () => ({ head: ["vcpu", "share %", "ran", "wake-ups", "latency median", "p99", "longest", "longest wait"],
        rows: data.measures.map((m) => [personaName(state, m.vcpu), (100 * m.share).toFixed(1), duration(m.ran), m.latencies.length, duration(quantile(m.latencies, 0.5)), duration(quantile(m.latencies, 0.99)), duration(quantile(m.latencies, 1)), duration(m.longest)]) }),
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
