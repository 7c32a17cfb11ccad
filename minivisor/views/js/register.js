// Register explorer: what does each bit of a register mean? Type a value and see its fields; go to a field and edit it.

const wordOf = (data, ui) => BigInt(`0x${ui.value ?? data.state.value}`);
const registerOf = (data, ui) => data.registers.find((r) => r.name === (ui.register ?? data.state.register)) || data.registers[0];
const fieldsDown = (register) => [...register.fields].reverse();

function parsed(words, mask) {
  const s = String(words).trim().replace(/_/g, "");
  if (!/^(0x[0-9a-f]+|0b[01]+|\d+)$/i.test(s)) return null;
  const value = BigInt(s);
  return value <= mask ? value : null;
}

const view = diagram({
  name: "register",
  title: "Register explorer",
  question: "What does each bit of this register mean, and what would another value say?",
  keys: { "+": ["add", 1], "=": ["add", 1], "-": ["add", -1], Enter: ["add", 1], " ": ["add", 1] },
  controls: (data) => `<label>Register <select data-input="register">${data.registers.map((r) => `<option>${esc(r.name)}</option>`).join("")}</select></label>` +
    '<label>Value <input data-input="value" size="20" spellcheck="false" autocomplete="off"></label>' +
    '<label><span class="name">Field</span> <input data-input="field" size="12" spellcheck="false" autocomplete="off"></label>',
  prepare: (state) => ({ state, registers: state.registers, note: state.note }),
  steps: (data) => Math.max(...data.registers.map((r) => r.fields.length)),
  start(data) {
    const fields = fieldsDown(registerOf(data, {})), word = BigInt(`0x${data.state.value}`);
    return Math.max(0, fields.findIndex((f) => valueOf(f, word) !== 0n));
  },
  share: (data, ui) => ({ register: registerOf(data, ui).name, value: wordOf(data, ui).toString(16) }),
  act(data, ui, name, value) {
    const register = registerOf(data, ui), fields = fieldsDown(register), f = fields[Math.min(ui.step, fields.length - 1)], word = wordOf(data, ui), top = (1n << BigInt(register.width)) - 1n;
    ui.wrong = "";
    if (name === "register") Object.assign(ui, { register: value, value: "0", step: 0 });
    else if (name === "value") {
      const found = parsed(value, top);
      if (found === null) ui.wrong = `${value} is no value of ${register.width} bits: 0x and hexadecimal digits, or a decimal number.`;
      else ui.value = found.toString(16);
    } else {
      const most = maskOf(f) >> BigInt(f.lsb), unit = BigInt(f.unit || 0), given = name === "add" ? (valueOf(f, word) + BigInt(value) + most + 1n) % (most + 1n) : parsed(value, most << unit);
      if (given === null || (name === "field" && (given & ((1n << unit) - 1n)) !== 0n)) ui.wrong = `${value} does not fit ${f.name}: ${f.msb - f.lsb + 1} bits${unit ? `, a multiple of ${hex(1n << unit)}` : ""}.`;
      else ui.value = ((word & ~maskOf(f)) | ((name === "field" ? given >> unit : given) << BigInt(f.lsb))).toString(16);
    }
  },
  frame(data, ui) {
    const register = registerOf(data, ui), word = wordOf(data, ui), fields = fieldsDown(register), f = fields[Math.min(ui.step, fields.length - 1)];
    const marked = { ...register, fields: register.fields.map((each) => (each === f ? { ...each, current: true } : each)) };
    const mark = (cell) => (cell.reserved ? "" : `data-step="${fields.findIndex((each) => each.name === cell.name)}"`);
    const drawn = bitRows(marked, word, ui.width, mark), set = fields.filter((each) => valueOf(each, word) !== 0n);
    const said = `${register.name} = ${hex(word)} (${register.source}): ${plural(set.length, "field")} of ${fields.length} not zero. ${f.name} [${rangeOf(f)}] = ${shown(f, word)}${meaning(f, word) ? `: ${meaning(f, word)}` : ""}.`;
    const values = f.values ? `<p><b>${esc(f.name)} may be</b></p>${tableHtml({ head: ["value", "means"], rows: Object.entries(f.values), at: Object.keys(f.values).indexOf(String(valueOf(f, word))), caption: f.name })}` : "";
    return {
      svg: svg(ui.width, drawn.height, said, drawn.body),
      say: ui.wrong || said,
      detail: values ? `<div class="wide" tabindex="0" role="region" aria-label="Values of ${esc(f.name)}">${values}</div>` : "",
      table: () => ({ head: ["field", "bits", "value", "means"], at: fields.indexOf(f), rows: fields.map((each) => [each.name, rangeOf(each), shown(each, word), meaning(each, word)]) }),
    };
  },
  /** Inputs show what is, except the one being typed in. */
  drawn(section, data, ui) {
    const register = registerOf(data, ui), word = wordOf(data, ui), fields = fieldsDown(register), f = fields[Math.min(ui.step, fields.length - 1)];
    const active = section.getRootNode().activeElement, put = (name, value) => { const input = section.querySelector(`[data-input=${name}]`); if (input !== active) input.value = value; };
    put("register", register.name);
    put("value", hex(word));
    put("field", shown(f, word));
    section.querySelector(".name").textContent = f.name;
  },
});
globalThis.minivisorHost?.(view);
export default view;
