/*!
 * minivisor views. SPDX-License-Identifier: MIT
 *
 * Copyright (c) 2026 the minivisor authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 * documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
 * rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
 * persons to whom the Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
 * Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
 * WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
 * COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 * OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 */

// What all diagrams share. A diagram is two pure functions and this: prepare(state) -> data once, frame(data, ui) ->
// {svg, say, detail, table} for each step. Python runs the same two functions for the first frame and for SVG files, so
// there is one drawing code. No style attributes anywhere: a policy may forbid inline styles, never CSSOM.

// ── text ──

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
/** Text from a trace may come from anyone: control characters and changes of direction are shown, not obeyed. */
const clean = (s) =>
  String(s).replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u200e\u200f\u2066-\u2069]/g, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
/** And markup is text. */
const esc = (s) => clean(s).replace(/[&<>"']/g, (c) => ESCAPES[c]);
const hex = (v) => `0x${BigInt(v).toString(16)}`;
const count = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
const clamp = (v, lo, hi) => Math.max(lo, Math.min(hi, v));
const fit = (s, px, em = 6.7) => (s.length * em <= px ? s : px < em * 2 ? "" : `${s.slice(0, Math.floor(px / em) - 1)}…`);

/** Virtual nanoseconds as people write them. */
function duration(ns) {
  const [unit, per] = ns >= 1e9 ? ["s", 1e9] : ns >= 1e6 ? ["ms", 1e6] : ns >= 1e3 ? ["µs", 1e3] : ["ns", 1];
  return `${Number((ns / per).toFixed(per === 1 ? 0 : 3))} ${unit}`;
}

// ── drawing ──

/** Colours: light, dark. Told apart by people who see fewer of them (after Okabe and Ito), and never the only sign. */
const PALETTE = {
  paper: ["#ffffff", "#15181d"], panel: ["#f3f5f8", "#1f242b"], line: ["#cfd6de", "#3a434e"], ink: ["#1a1f26", "#e9edf2"],
  dim: ["#525c68", "#aab4c0"], accent: ["#0b5cad", "#7cc0ff"], glow: ["#dcebfa", "#183652"], bad: ["#b3261e", "#ff9a91"],
  c0: ["#0072b2", "#56b4e9"], c1: ["#c04a00", "#ff9150"], c2: ["#007a5a", "#3cd3a7"], c3: ["#a2457b", "#ee9fcb"],
  c4: ["#9a6a00", "#f5bf45"], c5: ["#5b5fc7", "#a9adff"], c6: ["#5d6773", "#a3adb9"], c7: ["#1a1f26", "#e9edf2"],
};
const col = (name) => `var(--${name},${PALETTE[name][0]})`;
const series = (k) => col(`c${k % 8}`);
const px = (v) => Number(v.toFixed(1));
const rect = (x, y, w, h, fill, more = "") =>
  `<rect x="${px(x)}" y="${px(y)}" width="${px(Math.max(0, w))}" height="${px(Math.max(0, h))}" fill="${fill}" ${more}/>`;
const line = (x1, y1, x2, y2, stroke = col("line"), more = "") =>
  `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" stroke="${stroke}" ${more}/>`;
const text = (x, y, s, more = "", fill = col("ink")) => `<text x="${px(x)}" y="${px(y)}" fill="${fill}" ${more}>${esc(s)}</text>`;
/** Many boxes as one path: cheap for the browser. */
const box = (x, y, w, h) => `M${px(x)} ${px(y)}h${px(w)}v${px(h)}h${px(-w)}z`;
const path = (d, fill, more = "") => (d ? `<path d="${d}" fill="${fill}" ${more}/>` : "");
const END = 'text-anchor="end"', MIDDLE = 'text-anchor="middle"', BOLD = 'font-weight="600"';
const MONO = 'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"';

const SHAPES = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M0-4.6L4.6 3.8L-4.6 3.8Z", "M-3.7-3.7H3.7V3.7H-3.7Z", "M0-5L5 0L0 5L-5 0Z",
  "M-1.6-4.6H1.6V-1.6H4.6V1.6H1.6V4.6H-1.6V1.6H-4.6V-1.6H-1.6Z", "M0 4.6L4.6-3.8L-4.6-3.8Z",
  "M-4.4-2.5L0-5L4.4-2.5V2.5L0 5L-4.4 2.5Z", "M-4.6-1.4H4.6V1.4H-4.6Z",
];
/** The shape that goes with a colour: a second sign for the same thing. */
const glyph = (k, x, y, size = 1, fill = series(k)) =>
  `<path d="${SHAPES[k % 8]}" transform="translate(${px(x)} ${px(y)}) scale(${size})" fill="${fill}"/>`;

const svg = (width, height, label, body) =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${px(width)} ${px(height)}" width="${px(width)}" height="${px(height)}" ` +
  `role="img" aria-label="${esc(label)}" font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" font-size="12">${body}</svg>`;

const THEME = (k) => Object.entries(PALETTE).map(([name, pair]) => `--${name}:${pair[k]}`).join(";");
const STYLE = `
.mv{${THEME(0)};display:block;box-sizing:border-box;color:var(--ink);background:var(--paper);border:1px solid var(--line);
 border-radius:10px;padding:14px 16px;font:14px/1.45 system-ui,-apple-system,Segoe UI,Roboto,sans-serif;max-width:1072px;
 margin:0;text-align:left;overflow-wrap:anywhere;color-scheme:light}
@media (prefers-color-scheme:dark){.mv:not([data-theme=light]){${THEME(1)};color-scheme:dark}}
.mv[data-theme=dark]{${THEME(1)};color-scheme:dark}
.mv *{box-sizing:border-box}
.mv p{margin:0}.mv .title{font-weight:650;font-size:16px}.mv .ask{color:var(--dim);margin:0 0 10px}
.mv .from{color:var(--dim)}.mv .detail>*+*{margin-top:10px}
.mv .note{color:var(--dim);font-size:13px;margin:-6px 0 10px}
.mv button svg{display:block;margin:0 auto}
.mv .tools{display:flex;flex-wrap:wrap;gap:6px;align-items:center;margin:0 0 8px}
.mv button,.mv select,.mv input:not([type=range]){font:inherit;font-size:14px;color:var(--ink);background:var(--panel);
 border:1px solid var(--dim);border-radius:7px;min-height:34px;min-width:38px;padding:3px 10px;max-width:100%}
.mv button{cursor:pointer}.mv button:hover:not(:disabled){background:var(--glow)}
.mv button:disabled{opacity:.45;cursor:default}
.mv input[type=range]{flex:1 1 120px;min-width:90px;height:34px;accent-color:var(--accent);margin:0}
.mv label{color:var(--dim);display:inline-flex;gap:6px;align-items:center;flex-wrap:wrap}
.mv .n{font-variant-numeric:tabular-nums;color:var(--dim);min-width:7ch}
.mv :focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.mv .stage{border-radius:6px;overflow-x:auto;touch-action:manipulation}.mv .stage svg,.mv .detail svg{display:block;max-width:100%;height:auto}
.mv [data-step],.mv [data-act]{cursor:pointer}
.mv .say{margin:8px 0 0;min-height:1.45em}.mv .detail{margin-top:8px}.mv .detail:empty{display:none}
.mv pre,.mv code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.mv pre{margin:6px 0 0;padding:8px 10px;background:var(--panel);border-radius:6px;overflow-x:auto;color:var(--ink)}
.mv mark{background:var(--glow);color:inherit;font-weight:650;outline:1px solid var(--accent)}
.mv .sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.mv details{margin-top:8px}.mv summary{cursor:pointer;color:var(--accent);padding:5px 0;width:fit-content}
.mv .wide{overflow:auto;max-height:320px}
.mv table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
.mv th,.mv td{padding:3px 10px 3px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
.mv th{color:var(--dim);font-weight:600;position:sticky;top:0;background:var(--paper)}.mv tr[aria-current] td{background:var(--glow);font-weight:600}
@media (prefers-reduced-motion:no-preference){.mv .now{animation:mv-now .3s ease-out}@keyframes mv-now{from{opacity:.25}}}
@media (max-width:480px){.mv{padding:10px;border-radius:0}.mv button{min-height:40px;min-width:42px}}
@media print{.mv .tools{display:none}}`;

// ── the parts around a picture ──

/** Rows of cells as a table; only the rows near the current one when there are many. */
function tableHtml({ head, rows, at = -1, caption = "" }, most = 200) {
  const first = clamp(at - most / 2, 0, Math.max(0, rows.length - most));
  const shown = rows.slice(first, first + most);
  const cut = shown.length < rows.length ? ` (${count(first + 1)} to ${count(first + shown.length)} of ${count(rows.length)})` : "";
  const cells = (row, tag, scope = "") => row.map((c) => `<${tag}${scope}>${esc(c)}</${tag}>`).join("");
  const body = shown.map((row, k) => `<tr${first + k === at ? ' aria-current="step"' : ""}>${cells(row, "td")}</tr>`).join("");
  return (
    `<table><caption class="sr">${esc(caption + cut)}</caption><thead><tr>${cells(head, "th", ' scope="col"')}</tr></thead>` +
    `<tbody>${body}</tbody></table>`
  );
}

const icon = (d) => `<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="${d}" fill="currentColor"/></svg>`;
const BUTTONS = [["first", "M3 3h2v10H3zM13 3v10L6 8z", "First step", "Home"], ["back", "M11 3v10L4 8z", "Step back", "ArrowLeft"],
  ["next", "M5 3v10l7-5z", "Step forward", "ArrowRight"], ["last", "M11 3h2v10h-2zM3 3v10l7-5z", "Last step", "End"]];
const IN = "M7 3h2v4h4v2H9v4H7V9H3V7h4z", OUT = "M3 7h10v2H3z";
/** A button with a sign; its meaning is in its name. */
const button = (attrs, d, name, key) => `<button type="button" ${attrs} aria-label="${name}" title="${name}" aria-keyshortcuts="${key}">${icon(d)}</button>`;

function skeleton(spec, data, steps) {
  const buttons = BUTTONS.map(([act, d, name, key]) => button(`data-go="${act}"`, d, name, key)).join("");
  const walk = steps > 1 ? `${buttons}<input type="range" min="1" max="${steps}" aria-label="Step"><span class="n"></span>` : "";
  const extra = spec.controls ? spec.controls(data) : "";
  const tools = walk || extra ? `<div class="tools" role="group" aria-label="Steps of ${esc(spec.title)}">${walk}${extra}</div>` : "";
  return (
    `<p class="title">${esc(spec.title)}</p><p class="ask">${esc(spec.question)}</p>${data.note ? `<p class="note">${esc(data.note)}</p>` : ""}${tools}` +
    `<div class="stage" tabindex="0" role="group" aria-label="${esc(spec.title)}: arrow keys step, Home and End jump"></div>` +
    `<p class="say"></p><div class="sr" role="status" aria-live="polite"></div><div class="detail"></div>` +
    `<details class="data"><summary>The same as a table</summary><div class="wide" tabindex="0" role="region" aria-label="${esc(spec.title)}, table"></div></details>`
  );
}

function shadowOf(el) {
  const root = el.getRootNode();
  return root instanceof ShadowRoot ? root : el.shadowRoot || el.attachShadow({ mode: "open" });
}

function themeOf(section) {
  const lab = document.body && document.body.dataset.jpThemeLight;
  section.dataset.theme = lab === undefined ? document.documentElement.dataset.theme || "" : lab === "false" ? "dark" : "light";
}

/** A view that lives: draws on each step, answers buttons, keys, touch and its model, and follows the others on the page. */
class Live {
  constructor(spec, model, el) {
    Object.assign(this, { spec, model });
    this.shadow = shadowOf(el);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.shadow.adoptedStyleSheets = [sheet];
    this.section = document.createElement("section");
    this.section.className = "mv";
    this.section.setAttribute("aria-label", spec.title);
    el.getRootNode() === this.shadow ? el.append(this.section) : this.shadow.append(this.section);
    this.undo = [];
    this.load();
    this.listen();
  }

  $(selector) {
    return this.section.querySelector(selector);
  }

  /** Take the state anew: everything is drawn from it. */
  load() {
    const state = this.model.get("state");
    this.data = this.spec.prepare(state);
    this.steps = Math.max(1, this.spec.steps(this.data));
    const kept = this.ui || {};
    const step = Math.max(-1, this.model.get("step") ?? -1);
    this.ui = { ...(this.spec.ui || {}), ...kept, ...(state.ui || {}), width: kept.width || 720 };
    this.ui.step = clamp(step >= 0 ? step : this.spec.start(this.data), 0, this.steps - 1);
    const open = this.$(".data")?.open;
    this.section.innerHTML = skeleton(this.spec, this.data, this.steps);
    if (open) this.$(".data").open = true;
    this.$(".data").addEventListener("toggle", () => this.draw());
    this.watched?.observe(this.$(".stage"));
    this.measure();
    this.draw();
  }

  measure() {
    const wide = this.$(".stage").clientWidth;
    if (wide > 0) this.ui.width = clamp(Math.floor(wide), 280, 1040);
  }

  draw() {
    const { svg: picture, say, detail = "", table } = this.spec.frame(this.data, this.ui);
    this.$(".stage").innerHTML = picture;
    this.$(".say").textContent = clean(say);
    if (this.detail !== detail) this.$(".detail").innerHTML = this.detail = detail;
    if (this.$(".data").open) this.$(".wide").innerHTML = tableHtml({ caption: this.spec.title, ...table() });
    const range = this.$("input[type=range]");
    if (range) {
      range.value = this.ui.step + 1;
      range.setAttribute("aria-valuetext", `${this.ui.step + 1} of ${this.steps}`);
      this.$(".n").textContent = `${count(this.ui.step + 1)} / ${count(this.steps)}`;
      for (const act of ["first", "back"]) this.$(`[data-go=${act}]`).disabled = this.ui.step === 0;
      for (const act of ["next", "last"]) this.$(`[data-go=${act}]`).disabled = this.ui.step === this.steps - 1;
    }
    this.spec.drawn?.(this.section, this.data, this.ui);
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => (this.$("[role=status]").textContent = `Step ${this.ui.step + 1} of ${this.steps}. ${clean(say)}`), 200);
  }

  /** Go to a step because somebody here asked: tell Python, and whoever else shows this trace. */
  go(step) {
    const to = clamp(step, 0, this.steps - 1);
    if (to === this.ui.step) return;
    const focused = this.shadow.activeElement;
    this.ui.step = to;
    this.draw();
    if (focused && focused.disabled) this.$(".stage").focus();
    this.tell();
    const record = this.spec.record?.(this.data, to) ?? -1;
    if (record >= 0) document.dispatchEvent(new CustomEvent("minivisor:at", { detail: { trace: this.data.trace, record, by: this } }));
  }

  tell() {
    this.model.set("step", this.ui.step);
    if (this.spec.share) this.model.set("ui", this.spec.share(this.data, this.ui));
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.model.save_changes(), 40);
  }

  /** Another view on this page is at a record of the same trace. */
  follow({ trace, record, by }) {
    if (by === this || !trace || trace !== this.data.trace || !this.spec.find) return;
    const step = this.spec.find(this.data, record);
    if (step >= 0 && step !== this.ui.step) {
      this.ui.step = step;
      this.draw();
      this.tell();
    }
  }

  act(name, value, where) {
    if (!this.spec.act) return;
    const before = this.ui.step;
    this.spec.act(this.data, this.ui, name, value, where, this.model);
    const to = clamp(this.ui.step, 0, this.steps - 1);
    this.ui.step = before;
    if (to !== before) this.go(to);
    else {
      this.draw();
      this.tell();
    }
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|SUMMARY)$/.test(event.composedPath()[0].tagName)) return;
    const page = this.spec.page || 10;
    const to = { ArrowRight: this.ui.step + 1, ArrowLeft: this.ui.step - 1, PageDown: this.ui.step + page, PageUp: this.ui.step - page,
      Home: 0, End: this.steps - 1 }[event.key];
    const act = this.spec.keys?.[event.key];
    if (event.composedPath()[0].tagName === "BUTTON" && (event.key === " " || event.key === "Enter")) return;
    if (act) this.act(...act);
    else if (to !== undefined && this.steps > 1) this.go(to);
    else return;
    event.preventDefault();
  }

  click(event) {
    const target = event.target.closest("[data-go],[data-step],[data-act]");
    if (!target || target.disabled) return;
    const { go, step, act, value } = target.dataset;
    if (go) this.go({ first: 0, back: this.ui.step - 1, next: this.ui.step + 1, last: this.steps - 1 }[go]);
    else if (step !== undefined) this.go(Number(step));
    else this.act(act, value, this.place(event));
  }

  /** Where in the picture a click was, in its own units. */
  place(event) {
    const box = this.$(".stage svg")?.getBoundingClientRect();
    return box ? { x: ((event.clientX - box.left) * this.ui.width) / box.width, y: event.clientY - box.top } : { x: 0, y: 0 };
  }

  on(target, name, handler) {
    target.addEventListener(name, handler);
    this.undo.push(() => target.removeEventListener(name, handler));
  }

  listen() {
    const { section, model } = this;
    this.on(section, "keydown", (event) => this.key(event));
    this.on(section, "click", (event) => this.click(event));
    this.on(section, "input", (event) => {
      const { target } = event;
      if (target.type === "range" && !target.dataset.input) this.go(Number(target.value) - 1);
      else if (target.dataset.input) this.act(target.dataset.input, target.value);
    });
    this.on(document, "minivisor:at", (event) => this.follow(event.detail));
    const reload = () => this.load();
    const moved = () => {
      const step = model.get("step");
      if (step >= 0 && step !== this.ui.step && step < this.steps) {
        this.ui.step = step;
        this.draw();
      }
    };
    model.on("change:state", reload);
    model.on("change:step", moved);
    this.undo.push(() => (model.off("change:state", reload), model.off("change:step", moved)));
    themeOf(section);
    const themes = new MutationObserver(() => themeOf(section));
    for (const node of [document.documentElement, document.body]) if (node) themes.observe(node, { attributes: true });
    this.watched = new ResizeObserver(() => {
      const before = this.ui.width;
      this.measure();
      if (Math.abs(before - this.ui.width) > 1) this.draw();
    });
    this.watched.observe(this.$(".stage"));
    this.undo.push(() => (themes.disconnect(), this.watched.disconnect()));
  }

  close() {
    for (const undo of this.undo) undo();
  }
}

/** A diagram as anywidget and our own host expect it: an object with `render`. The rest is for Python, which draws too. */
const diagram = (spec) => ({
  ...spec,
  style: STYLE,
  clean,
  tableHtml,
  render({ model, el }) {
    const live = new Live(spec, model, el);
    return () => live.close();
  },
});
