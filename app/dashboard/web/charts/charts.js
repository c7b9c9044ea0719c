/** The charts of one page: each with a sentence, a legend, and a table of what is drawn. */

import { h, render } from "../parts/h.js";
import { legend, toPlotly } from "./figure.js";
import { plotly } from "./plotly.js";

/**
 * @typedef {object} Chart
 * @property {string} key
 * @property {import("../parts/h.js").Child} title
 * @property {string} summary what is seen, with the main figures: read out in place of the drawing
 * @property {import("./figure.js").Spec} spec
 * @property {string[]} columns of the table
 * @property {() => (string | number)[][]} rows
 */

export class Charts {
  /** @param {import("../parts/page.js").Page} page */
  constructor(page) {
    this.signal = page.signal;
    /** @type {Map<string, { node: HTMLElement, host: HTMLElement, chart: Chart, drawn: string, open: boolean }>} */
    this.places = new Map();
    const again = () => {
      for (const place of this.places.values()) this.put(place);
    };
    document.addEventListener("lotus:theme", again, { signal: this.signal });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", again, { signal: this.signal });
    this.signal.addEventListener("abort", () => this.end());
  }

  /** @param {Chart} chart @returns {HTMLElement} the same for the same key, whatever it shows */
  figure(chart) {
    let place = this.places.get(chart.key);
    if (!place) {
      const host = h("div", { class: "plot", role: "img" });
      const node = h("figure", { class: "chart", key: `chart-${chart.key}` });
      place = { node, host, chart, drawn: "", open: false };
      this.places.set(chart.key, place);
    }
    place.chart = chart;
    this.dress(place);
    // By then the page holds it.
    queueMicrotask(() => this.put(place));
    return place.node;
  }

  dress(place) {
    const { node, host, chart } = place;
    host.setAttribute("aria-label", chart.summary);
    render(
      node,
      h("figcaption", null, h("h3", null, chart.title), h("p", { class: "hint" }, chart.summary)),
      legend(chart.spec),
      host,
      h(
        "details",
        { class: "fold", on: { toggle: ({ target }) => this.opened(place, target.open) } },
        h("summary", null, "The data as a table"),
        place.open && dataTable(chart),
      ),
    );
  }

  opened(place, open) {
    if (place.open === open) return;
    place.open = open;
    this.dress(place);
  }

  async put(place) {
    if (this.signal.aborted || !place.host.isConnected) return;
    let Plotly;
    try {
      Plotly = await plotly();
    } catch {
      render(
        place.host,
        h(
          "p",
          { class: "state empty" },
          "The drawing could not be loaded; the table has the data.",
        ),
      );
      return;
    }
    if (this.signal.aborted || !place.host.isConnected) return;
    const style = getComputedStyle(document.documentElement);
    const { traces, layout, config } = toPlotly(place.chart.spec, (name) =>
      style.getPropertyValue(name).trim(),
    );
    const drawn = JSON.stringify([traces, layout]);
    if (drawn === place.drawn) return;
    place.drawn = drawn;
    await Plotly.react(place.host, traces, layout, config);
  }

  async end() {
    if (this.places.size === 0) return;
    const Plotly = await plotly().catch(() => null);
    for (const { host } of this.places.values()) Plotly?.purge(host);
    this.places.clear();
  }
}

function dataTable({ columns, rows, summary }) {
  return h(
    "div",
    { class: "data", tabindex: "0", role: "region", "aria-label": `Data: ${summary}` },
    h(
      "table",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((one) => h("th", { scope: "col" }, one)),
        ),
      ),
      h(
        "tbody",
        null,
        rows().map((row) =>
          h(
            "tr",
            null,
            row.map((one) => h("td", { class: "number" }, one)),
          ),
        ),
      ),
    ),
  );
}

/** @param {...HTMLElement} figures side by side where there is room */
export function side(...figures) {
  return h("div", { class: "charts" }, figures);
}
