/*! minivisor views, the reader of trace files. SPDX-License-Identifier: MIT. Copyright (c) 2026 the minivisor authors. */
// A trace file in a page: minivisor/trace/file.py says what it looks like, and what is checked here is what is checked there,
// the digest over the records included. Nothing is drawn before the whole file is found right.
(() => {
  const MAGIC = [0x89, 0x4d, 0x56, 0x54, 0x52, 0x41, 0x43, 0x45], START = 48, LARGEST_HEADER = 1 << 24, PIECE = 1 << 22;
  const SIZES = { "|u1": 1, "<u4": 4, "<u8": 8 };

  // ── BLAKE2b (RFC 7693), 64-bit words as pairs of 32 ──

  const IV = new Uint32Array([
    0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
    0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19,
  ]);
  const SIGMA = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4], [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13], [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11], [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5], [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
  ];
  const ORDER = Uint8Array.from([...SIGMA, SIGMA[0], SIGMA[1]].flat(), (word) => 2 * word);
  const v = new Uint32Array(32), m = new Uint32Array(32), TURN = 2 ** -32;

  /** One mixing of four words of v with two of m; positions are of the low halves. */
  function mix(a, b, c, d, x, y) {
    let low = v[a] + v[b] + m[x];
    let al = low >>> 0, ah = (v[a + 1] + v[b + 1] + m[x + 1] + ((low * TURN) | 0)) >>> 0;
    const dl = v[d + 1] ^ ah, dh = v[d] ^ al; // turned by 32
    low = v[c] + (dl >>> 0);
    let cl = low >>> 0, ch = (v[c + 1] + (dh >>> 0) + (low > 4294967295 ? 1 : 0)) >>> 0;
    let xl = v[b] ^ cl, xh = v[b + 1] ^ ch;
    const bl = (xl >>> 24) | (xh << 8), bh = (xh >>> 24) | (xl << 8); // by 24
    low = al + (bl >>> 0) + m[y];
    al = low >>> 0;
    ah = (ah + (bh >>> 0) + m[y + 1] + ((low * TURN) | 0)) >>> 0;
    xl = dl ^ al;
    xh = dh ^ ah;
    const el = (xl >>> 16) | (xh << 16), eh = (xh >>> 16) | (xl << 16); // by 16
    low = cl + (el >>> 0);
    cl = low >>> 0;
    ch = (ch + (eh >>> 0) + (low > 4294967295 ? 1 : 0)) >>> 0;
    xl = bl ^ cl;
    xh = bh ^ ch;
    v[a] = al; v[a + 1] = ah; v[c] = cl; v[c + 1] = ch; v[d] = el; v[d + 1] = eh;
    v[b] = (xl << 1) | (xh >>> 31); // by 63
    v[b + 1] = (xh << 1) | (xl >>> 31);
  }

  function compress(h, block, count, last) {
    v.set(h);
    v.set(IV, 16);
    v[24] ^= count % 4294967296;
    v[25] ^= Math.floor(count / 4294967296);
    if (last) (v[28] = ~v[28]), (v[29] = ~v[29]);
    m.set(block);
    for (let round = 0; round < 192; round += 16) {
      mix(0, 8, 16, 24, ORDER[round], ORDER[round + 1]);
      mix(2, 10, 18, 26, ORDER[round + 2], ORDER[round + 3]);
      mix(4, 12, 20, 28, ORDER[round + 4], ORDER[round + 5]);
      mix(6, 14, 22, 30, ORDER[round + 6], ORDER[round + 7]);
      mix(0, 10, 20, 30, ORDER[round + 8], ORDER[round + 9]);
      mix(2, 12, 22, 24, ORDER[round + 10], ORDER[round + 11]);
      mix(4, 14, 16, 26, ORDER[round + 12], ORDER[round + 13]);
      mix(6, 8, 18, 28, ORDER[round + 14], ORDER[round + 15]);
    }
    for (let k = 0; k < 16; k++) h[k] ^= v[k] ^ v[k + 16];
  }

  /** `size` bytes over pieces of bytes, `whole` in all, with a pause for the page after each few megabytes. */
  async function blake2b(parts, whole, progress = () => {}, size = 32) {
    const h = new Uint32Array(IV), block = new Uint8Array(128), words = new Uint32Array(block.buffer);
    h[0] ^= 0x01010000 ^ size;
    let done = 0, filled = 0, pause = PIECE;
    for (const part of parts) {
      for (let at = 0; at < part.length; ) {
        if (filled === 128) {
          compress(h, words, (done += 128), false);
          filled = 0;
          if (done >= pause) (pause += PIECE), progress(done / whole), await new Promise((go) => setTimeout(go));
        }
        const take = Math.min(128 - filled, part.length - at);
        if (take === 128) block.set(part.subarray(at, at + 128));
        else for (let k = 0; k < take; k++) block[filled + k] = part[at + k];
        filled += take;
        at += take;
      }
    }
    block.fill(0, filled);
    compress(h, words, done + filled, true);
    return new Uint8Array(h.buffer.slice(0, size));
  }

  // ── the digest over the records: minivisor/trace/digest.py ──

  const PORTION = 16384, ROW = 18; // records that are put together at once; 32-bit words of one, without what the host spent

  /** Rows as they lie in memory, from their columns, some at a time. parts: each column's bytes. */
  function* inRows(parts, n) {
    const small = ["kind", "vcpu", "outcome", "detail"].map((name) => parts[name]), number = new Uint32Array(parts.number.buffer);
    const wide = ["retired", "pc", "esr", "far", "ipa", "value", "argument"].map((name) => new Uint32Array(parts[name].buffer)), time = new Uint32Array(parts.time.buffer);
    for (let first = 0; first < n; first += PORTION) {
      const many = Math.min(PORTION, n - first), out = new Uint32Array(many * ROW);
      for (let k = 0, at = 0; k < many; k++, at += ROW) {
        const i = first + k;
        out[at] = time[2 * i];
        out[at + 1] = time[2 * i + 1];
        out[at + 2] = small[0][i] | (small[1][i] << 8) | (small[2][i] << 16) | (small[3][i] << 24);
        out[at + 3] = number[i];
      }
      wide.forEach((column, c) => {
        for (let k = 0, at = 4 + 2 * c, from = 2 * first; k < many; k++, at += ROW, from += 2) (out[at] = column[from]), (out[at + 1] = column[from + 1]);
      });
      yield new Uint8Array(out.buffer);
    }
  }

  /** A count as eight bytes, little-endian. */
  const eight = (n) => Uint8Array.from({ length: 8 }, (_, k) => Math.floor(n / 256 ** k) % 256);
  const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

  /** Half of a pair, which has no bytes of its own. */
  const escaped = (half) => `\\u${half.charCodeAt(0).toString(16)}`;

  async function digestOf(parts, header, progress) {
    const texts = header.texts.map((text) => new TextEncoder().encode(text.replace(/[\ud800-\udfff]/gu, escaped))).flatMap((text) => [eight(text.length), text]), n = header.records;
    const whole = joined(await blake2b(inRows(parts, n), n * ROW * 4, progress), await blake2b(texts, 1), eight(n));
    return [...(await blake2b([whole], whole.length, undefined, 16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // ── the file ──

  class Wrong extends Error {}
  const must = (right, given, expected) => {
    if (!right) throw new Wrong(`This is not a trace that can be shown: it has ${given}, and ${expected} was expected.`);
  };
  const same = (a, b) => a.length === b.length && a.every((byte, k) => byte === b[k]);
  const isCount = (n) => Number.isInteger(n) && n >= 0 && n < 2 ** 48;
  const isWords = (list) => Array.isArray(list) && list.every((word) => typeof word === "string");
  const brief = (value) => String(JSON.stringify(value)).slice(0, 60);

  function headerOf(bytes, format) {
    must(bytes.length >= 8 && same([...bytes.subarray(0, 8)], MAGIC), "another beginning", "a file of `minivisor … --trace FILE`");
    must(bytes.length >= START, `${bytes.length} bytes`, `at least ${START}: it is truncated`);
    const view = new DataView(bytes.buffer, bytes.byteOffset), version = view.getUint32(8, true), length = view.getUint32(12, true);
    must(version === format.version, `version ${version}`, `version ${format.version}`);
    must(length <= LARGEST_HEADER && START + length <= bytes.length, `a header of ${length} bytes`, `one inside the file's ${bytes.length}: it is truncated`);
    return length;
  }

  function parsed(bytes, format) {
    let header;
    try {
      header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch {
      must(false, "a header that is not JSON", "a JSON object");
    }
    must(header && typeof header === "object" && !Array.isArray(header), "a header that is no object", "a JSON object");
    for (const name of ["records", "lost", "log", "log_lost"]) must(isCount(header[name]), `${name} = ${brief(header[name])}`, "a count of records");
    must(/^[0-9a-f]{32}$/.test(header.digest), `digest = ${brief(header.digest)}`, "32 hexadecimal digits");
    must(JSON.stringify(header.columns) === JSON.stringify(format.columns), "other columns", "the columns of this version");
    must(isWords(header.texts), "texts that are none", "a list of texts");
    must(header.metadata && typeof header.metadata === "object" && isWords(header.metadata.personas), "metadata without personas", "a list of names");
    return header;
  }

  /** A column of eight-byte values; `at` gives one exactly, `low` its low half, `numbers` all of them as doubles. */
  function wide(bytes) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    return {
      at: (i) => (BigInt(words[2 * i + 1]) << 32n) | BigInt(words[2 * i]),
      low: (i) => words[2 * i],
      numbers() {
        const out = new Float64Array(words.length / 2);
        for (let i = 0; i < out.length; i++) out[i] = words[2 * i + 1] * 4294967296 + words[2 * i];
        return out;
      },
    };
  }

  function rowsOf(bytes, start, header, format) {
    const n = header.records, each = format.columns.reduce((sum, [, type]) => sum + SIZES[type], 0);
    must(start + (n + header.log) * each === bytes.length, `${n} records in ${bytes.length - start} bytes`, `${(n + header.log) * each} bytes`);
    const rows = { n }, parts = {};
    for (const [name, type] of format.columns) {
      const part = (parts[name] = bytes.slice(start, (start += n * SIZES[type]))); // a copy, so that it is aligned
      rows[name] = type === "|u1" ? part : type === "<u4" ? new Uint32Array(part.buffer) : name === "time" || name === "retired" ? wide(part).numbers() : wide(part);
    }
    rows.record = Float64Array.from({ length: n }, (_, i) => header.lost + i);
    return { rows, parts };
  }

  /** Every number that names something names something there is. */
  function judged(rows, header, schema) {
    const kinds = Object.entries(schema.kinds).map(([number, kind]) => [Number(number), kind]), known = new Map(kinds);
    const narrow = { detail: rows.detail, outcome: rows.outcome, number: rows.number };
    const value = (column, i) => (narrow[column] ? narrow[column][i] : Number(rows[column].at(i)));
    const checks = new Map(kinds.map(([number, kind]) => [number, kind.fields.filter(([, , members, worded]) => members || worded)]));
    for (let i = 0; i < rows.n; i++) {
      const kind = rows.kind[i];
      must(known.has(kind), `a record of unknown kind ${kind}`, "records of this version");
      for (const [name, column, members] of checks.get(kind)) {
        const found = value(column, i);
        must(members ? members[found] !== undefined : found < header.texts.length, `a ${known.get(kind).name} record with an unknown ${name}`, "records of this version");
      }
    }
  }

  /** File -> state for diagrams. Throws with a sentence for people; progress(part) is called on the way. */
  globalThis.minivisorRead = async (bytes, { format, schema }, progress = () => {}) => {
    const length = headerOf(bytes, format);
    const sum = await blake2b([bytes.subarray(0, 16), bytes.subarray(START)], bytes.length, (part) => progress(part / 2));
    must(same(sum, bytes.subarray(16, START)), "a wrong checksum", "an unchanged file: it is truncated or damaged");
    const header = parsed(bytes.subarray(START, START + length), format), { rows, parts } = rowsOf(bytes, START + length, header, format);
    judged(rows, header, schema);
    if (!header.lost) {
      const computed = await digestOf(parts, header, (part) => progress((1 + part) / 2));
      must(computed === header.digest, `digest ${header.digest}`, `${computed}, that of its records,`);
    }
    const lost = header.lost ? `The first ${header.lost} records of this run were not kept.` : "";
    return { trace: header.digest, names: header.metadata.personas, rows, texts: header.texts, schema, note: lost, records: header.records };
  };
})();
