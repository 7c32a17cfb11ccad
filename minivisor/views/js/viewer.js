/*! minivisor views, the page that opens trace files. SPDX-License-Identifier: MIT. Copyright (c) 2026 the minivisor authors. */
(() => {
  const known = JSON.parse(document.getElementById("known").textContent);
  const $ = (id) => document.getElementById(id), place = $("place"), status = $("status"), chosen = $("file");
  let opening = 0;

  function show(state) {
    const wanted = [...document.querySelectorAll("input[name=diagram]:checked")].map((box) => box.value);
    place.replaceChildren();
    for (const name of wanted) {
      const element = document.createElement("minivisor-view");
      element.setAttribute("name", name);
      element.values = { state: { ...known.state, ...state }, step: -1, ui: {} };
      place.append(element);
    }
  }

  /** One file, from its first byte to its diagrams, or to a sentence that says why not. */
  async function open(file) {
    const mine = ++opening, say = (words, wrong = false) => {
      if (mine !== opening) return;
      status.textContent = words;
      status.className = wrong ? "wrong" : "";
    };
    place.replaceChildren();
    try {
      if (file.size > 1 << 30) throw new Error(`This file has ${file.size} bytes; at most ${1 << 30} can be opened here. minivisor trace cut makes a shorter one.`);
      say(`Reading ${file.name} …`);
      const bytes = new Uint8Array(await file.arrayBuffer());
      const state = await globalThis.minivisorRead(bytes, known, (part) => say(`Checking ${file.name}: ${Math.floor(100 * part)} %`));
      if (mine !== opening) return;
      globalThis.last = state;
      const begun = performance.now();
      show(state);
      await new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
      document.body.dataset.painted = String(Math.round(performance.now() - begun));
      say(`${file.name}: ${state.records.toLocaleString("en")} records of ${state.names.join(", ") || "a run without names"}, digest ${state.trace}.`);
    } catch (problem) {
      place.replaceChildren();
      say(problem.message, true);
    }
  }

  chosen.addEventListener("change", () => chosen.files.length && open(chosen.files[0]));
  for (const box of document.querySelectorAll("input[name=diagram]")) box.addEventListener("change", () => globalThis.last && show(globalThis.last));
  for (const name of ["dragenter", "dragover"])
    document.addEventListener(name, (event) => (event.preventDefault(), $("drop").classList.add("over")));
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
})();
