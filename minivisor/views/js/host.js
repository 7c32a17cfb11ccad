/*! minivisor views, the host of a static page. SPDX-License-Identifier: MIT. Copyright (c) 2026 the minivisor authors. */
// What anywidget does in a notebook, for a page without one: an element with a shadow root, a model with get, set, on, off
// and save_changes whose state is the JSON inside the element (or `values`, put there by a script), and the module of its diagram, which is inline too and calls
// minivisorHost with its default export. Until then, and if anything fails, the page shows the picture drawn beforehand.
(() => {
  const views = new Map();
  class Model {
    constructor(values) {
      this.values = values;
      this.heard = new Map();
    }
    get(name) {
      return this.values[name];
    }
    set(name, value) {
      const changed = this.values[name] !== value;
      this.values[name] = value;
      if (changed) for (const handler of this.heard.get(`change:${name}`) || []) handler();
    }
    on(name, handler) {
      this.heard.set(name, [...(this.heard.get(name) || []), handler]);
    }
    off(name, handler) {
      this.heard.set(name, (this.heard.get(name) || []).filter((other) => other !== handler));
    }
    save_changes() {}
  }
  class MinivisorView extends HTMLElement {
    connectedCallback() {
      const view = views.get(this.getAttribute("name")), state = this.querySelector('script[type="application/json"]');
      if (!view || !(state || this.values) || this.model) return;
      const root = this.shadowRoot || this.attachShadow({ mode: "open" });
      try {
        this.model = new Model(this.values || JSON.parse(state.textContent));
        const el = document.createElement("div");
        root.replaceChildren(el);
        this.close = view.render({ model: this.model, el });
      } catch (problem) {
        const notice = document.createElement("p");
        notice.setAttribute("role", "alert");
        notice.textContent = `This diagram cannot be shown: ${problem.message}`;
        root.replaceChildren(notice, document.createElement("slot"));
      }
    }
    disconnectedCallback() {
      this.close?.();
      this.model = this.close = undefined;
    }
  }
  globalThis.minivisorHost = (view) => {
    if (views.has(view.name)) return;
    views.set(view.name, view);
    for (const element of document.querySelectorAll("minivisor-view")) if (element.getAttribute("name") === view.name) element.connectedCallback();
  };
  customElements.define("minivisor-view", MinivisorView);
})();
