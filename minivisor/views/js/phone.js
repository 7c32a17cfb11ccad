// Phone: whose screen is this, and who says so? Frames of the panel, pixel for pixel: below the screen a guest draws,
// above it the strip that no guest can reach. In a notebook keys and taps go to the phone; a page plays the frames it has.

/** A frame's runs of one colour as one path each: crisp at any size, and no image for a policy to refuse. */
function pathsOf(frame) {
  const runs = fromBase64(frame.runs), paths = frame.colours.map(() => "");
  for (let k = 0, at = 0; k < runs.length; k += 2) {
    for (let left = runs[k + 1] + 1; left > 0; ) {
      const x = at % frame.width, wide = Math.min(left, frame.width - x);
      paths[runs[k]] += `M${x} ${Math.floor(at / frame.width)}h${wide}v1h-${wide}z`;
      at += wide;
      left -= wide;
    }
  }
  return paths.map((d, k) => (d ? `<path d="${d}" fill="#${/^[0-9a-f]{6}$/.test(frame.colours[k]) ? frame.colours[k] : "000"}"/>` : "")).join("");
}

const view = diagram({
  name: "phone",
  title: "Phone",
  question: "Whose screen is this, and who says so?",
  controls: (data) => (data.live ? '<button type="button" data-act="switch">Switch persona</button><button type="button" data-act="run">Run on</button><label>Type <input data-input="typed" size="10" autocomplete="off" spellcheck="false"></label>' : ""),
  prepare: (state) => ({ state, frames: state.frames, trace: state.trace, live: state.live, note: state.note, drawn: new Map() }),
  steps: (data) => data.frames.length,
  start: (data) => data.frames.length - 1,
  record: (data, step) => data.frames[step]?.record ?? -1,
  find: (data, record) => data.frames.findLastIndex((f) => f.record <= record),
  share: (data, ui) => ({ events: ui.events || [] }),
  /** Keys, taps and buttons, numbered, so that Python takes each once. */
  act(data, ui, name, value, where) {
    if (!data.live) return;
    const frame = data.frames[ui.step], made = { number: (ui.events?.at(-1)?.number || 0) + 1, name };
    if (name === "typed") Object.assign(made, { text: value.slice(ui.typed?.length || 0) }), (ui.typed = value);
    if (name === "tap") {
      const scale = data.scale(ui);
      Object.assign(made, { x: Math.floor((where.x - data.left(ui)) / scale), y: Math.floor((where.y - 20) / scale) });
    }
    if (name !== "typed" || made.text) ui.events = [...(ui.events || []).slice(-19), made];
  },
  frame(data, ui) {
    const frame = data.frames[ui.step];
    const scale = clamp(Math.floor(Math.min(ui.width - 40, 340) / frame.width * 2) / 2, 1, 3), wide = frame.width * scale, high = frame.height * scale, left = Math.max(16, ui.width < 620 ? (ui.width - wide) / 2 : 24);
    data.scale = () => scale;
    data.left = () => left;
    if (!data.drawn.has(frame)) data.drawn.set(frame, pathsOf(frame));
    let body = rect(left - 14, 4, wide + 28, high + 34, "#15181d", `rx="18" stroke="${col("dim")}" stroke-width="1.5"`);
    body += `<g transform="translate(${px(left)} 20) scale(${scale})" shape-rendering="crispEdges" data-act="tap">${rect(0, 0, frame.width, frame.height, "#000")}${data.drawn.get(frame)}</g>`;
    body += rect(left, 20, wide, frame.strip * scale, "none", `stroke="${col("accent")}" stroke-width="2" stroke-dasharray="5 3"`);
    const beside = ui.width >= 620, x = beside ? left + wide + 40 : 0;
    let y = beside ? 20 : high + 54;
    if (beside) body += line(left + wide + 3, 20 + (frame.strip * scale) / 2, x - 6, 20 + (frame.strip * scale) / 2, col("accent"), 'stroke-width="1.5"');
    body += text(x, y + 12, "The strip belongs to the hypervisor:", BOLD) + text(x, y + 30, `“${fit(frame.front, 200)}” is in front. No guest can draw here.`) + text(x, y + 58, "The screen below is the guest's own memory.", "", col("dim"));
    y += 84;
    frame.personas.forEach((p, k) => {
      const front = p.name === frame.front;
      body += glyph(front ? 0 : 1, x + 7, y + 6, 1.2, series(k)) + text(x + 20, y + 11, fit(`${p.name}: ${front ? "in front" : "behind"}, ${p.status}`, 260), front ? BOLD : "");
      y += 22;
    });
    const said = `At ${duration(frame.time)}, ${frame.front} is in front; ${frame.personas.filter((p) => p.name !== frame.front).map((p) => `${p.name} is behind, ${p.status}`).join(", ")}.${frame.what ? ` ${frame.what}.` : ""}`;
    return {
      svg: svg(ui.width, beside ? high + 44 : y + 10, said, body),
      say: said,
      table: () => ({ head: ["time", "in front", "what happened"], at: ui.step, rows: data.frames.map((f) => [duration(f.time), f.front, f.what || ""]) }),
    };
  },
});
globalThis.minivisorHost?.(view);
export default view;
