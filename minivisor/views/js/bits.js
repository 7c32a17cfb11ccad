// A register as a picture: boxes with bit numbers, names and values. A register is plain data from minivisor/arch:
// {name, width, source, fields: [{name, msb, lsb, text, values?, unit?}]} with fields from bit 0 up.

const maskOf = (f) => ((1n << BigInt(f.msb - f.lsb + 1)) - 1n) << BigInt(f.lsb);
const valueOf = (f, word) => (word & maskOf(f)) >> BigInt(f.lsb);
const shown = (f, word) => {
  const value = valueOf(f, word) << BigInt(f.unit || 0);
  return f.unit || value > 9n ? hex(value) : String(value);
};
const meaning = (f, word) => f.values?.[String(valueOf(f, word))] ?? f.text ?? "";
const rangeOf = (f) => (f.msb > f.lsb ? `${f.msb}:${f.lsb}` : String(f.lsb));

/** Fields from the most significant bit down, with what no field names as RES0. */
function cellsOf(register) {
  const cells = [];
  let top = register.width - 1;
  const gap = (msb, lsb) => cells.push({ name: "RES0", msb, lsb, text: "reserved", reserved: true });
  for (const f of [...register.fields].reverse()) {
    if (f.msb < top) gap(top, f.msb + 1);
    cells.push(f);
    top = f.lsb - 1;
  }
  if (top >= 0) gap(top, 0);
  return cells;
}

/** One box, or the part of it that lies in one row of bits. */
function bitBox(f, word, msb, lsb, left, top, bit, more) {
  const wide = (msb - lsb + 1) * bit, value = shown(f, word), set = valueOf(f, word) !== 0n, middle = left + wide / 2;
  const numbers = text(left + (wide > bit ? 3 : bit / 2), top - 4, msb, `font-size="10" ${wide > bit ? "" : MIDDLE}`, col("dim")) +
    (wide > bit ? text(left + wide - 3, top - 4, lsb, `font-size="10" ${END}`, col("dim")) : "");
  const strong = set ? BOLD : "", ink = f.reserved && !set ? col("dim") : col("ink"), long = Math.max(f.name.length, value.length);
  const words = long * 7.2 <= wide - 4
    ? text(middle, top + 19, f.name, `${MIDDLE} ${MONO} ${strong}`, ink) + text(middle, top + 36, value, `${MIDDLE} ${MONO} ${strong}`, ink)
    : `<g transform="translate(${px(middle + 4)} ${px(top + 56)}) rotate(-90)">${text(0, 0, `${f.name}=${value}`, `${MONO} ${strong} font-size="${px(clamp(52 / (0.62 * (f.name.length + value.length + 1)), 5, 11))}"`, ink)}</g>`;
  const box = rect(left + 0.5, top, wide - 1, 60, f.current ? col("glow") : set ? col("panel") : col("paper"), `stroke="${f.current ? col("accent") : col("dim")}" stroke-width="${f.current ? 2.5 : 1}"`);
  return `<g ${more}><title>${esc(`${f.name} [${rangeOf(f)}] = ${value}: ${meaning(f, word)}`)}</title>${box}${numbers}${words}</g>`;
}

/** The whole register, 32 bits to a row or 16 where it is narrow. mark(cell, index) -> attributes. Returns {body, height}. */
function bitRows(register, word, width, mark = () => "") {
  const across = Math.min(register.width, width < 520 ? 16 : 32), bit = (width - 2) / across, rows = Math.ceil(register.width / across);
  let body = "";
  cellsOf(register).forEach((f, k) => {
    for (let msb = f.msb; msb >= f.lsb; ) {
      const lsb = Math.max(f.lsb, Math.floor(msb / across) * across);
      const left = 1 + (across - 1 - (msb % across)) * bit, top = (rows - 1 - Math.floor(lsb / across)) * 84 + 16;
      body += bitBox(f, word, msb, lsb, left, top, bit, mark(f, k));
      msb = lsb - 1;
    }
  });
  return { body, height: rows * 84 };
}

/** A register with its set fields in words, as HTML for a detail. */
function registerHtml(register, word, width) {
  const { body, height } = bitRows(register, word, width);
  const rows = [...register.fields].reverse().filter((f) => valueOf(f, word) !== 0n).map((f) => [f.name, rangeOf(f), shown(f, word), meaning(f, word)]);
  const title = `${register.name} = ${hex(word)}`;
  return `<p><b>${esc(title)}</b> <span class="from">${esc(register.source || "")}</span></p>${svg(width, height, title, body)}` +
    `<div class="wide" tabindex="0" role="region" aria-label="Fields of ${esc(register.name)}">${tableHtml({ head: ["field", "bits", "value", "means"], rows, caption: title })}</div>`;
}
