/*! minivisor views, the buttons of the gallery. SPDX-License-Identifier: MIT. Copyright (c) 2026 the minivisor authors. */
// Each diagram of this page as a page or a picture of its own, put together from what this page already holds.
(() => {
  const parts = JSON.parse(document.getElementById("parts").textContent);
  const moduleOf = (name) => document.querySelector(`script[data-module="${name}"]`).textContent;
  const live = (name) => document.querySelector(`minivisor-view[name="${name}"]`);
  const escaped = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

  /** One self-contained page: the frame drawn beforehand, the state, the host, the module. */
  const pageOf = (name) => parts.page.replace("{title}", () => parts.titles[name]).replace("{title}", () => parts.titles[name])
    .replace("{body}", () => live(name).outerHTML)
    .replace("{scripts}", () => `<script>${document.getElementById("host").textContent}<\/script>\n<script type="module">${moduleOf(name)}<\/script>`);

  /** The picture as it is now, as a document of its own. */
  function pictureOf(name) {
    const svg = live(name).shadowRoot.querySelector(".stage svg").cloneNode(true), style = document.createElementNS(svg.namespaceURI, "style");
    style.textContent = parts.svgStyle;
    svg.prepend(style);
    return `<!-- ${parts.notice} -->\n${new XMLSerializer().serializeToString(svg)}\n`;
  }

  const embedOf = (name) => `<iframe srcdoc="${escaped(pageOf(name))}" title="${parts.titles[name]}" loading="lazy" sandbox="allow-scripts" ` +
    `style="width:100%;aspect-ratio:${parts.ratios[name]};border:0"></iframe>`;

  function save(text, file, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /** To the clipboard; pages from a file may have to do it the old way. */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  const WORK = {
    copy: async (name) => (await copy(embedOf(name)), "Copied: paste it into a page, it needs nothing else."),
    html: (name) => (save(pageOf(name), `minivisor-${name}.html`, "text/html"), `Saved as minivisor-${name}.html.`),
    svg: (name) => (save(pictureOf(name), `minivisor-${name}.svg`, "image/svg+xml"), `Saved as minivisor-${name}.svg.`),
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-work]");
    if (button) document.getElementById(`said-${button.dataset.name}`).textContent = await WORK[button.dataset.work](button.dataset.name);
  });
})();
