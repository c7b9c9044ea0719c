/** Plotly, fetched when the first chart is drawn: 5 MB that no other page waits for. */

import { h } from "../parts/h.js";

/**
 * Plotly writes style sheets into the page, which the page's policy refuses, unless elements with
 * these ids are there. What our charts need of them stands in `styles/charts.css`. The second one is
 * that of its maps, which nothing here draws; a newer version may name it otherwise.
 */
export const STYLES_OF_ITS_OWN = [
  "plotly.js-style-global",
  "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53",
];

let found = null;

/** @returns {Promise<any>} */
export function plotly() {
  if (!found) {
    found = load();
    found.catch(() => (found = null));
  }
  return found;
}

async function load() {
  for (const id of STYLES_OF_ITS_OWN)
    if (!document.getElementById(id))
      document.head.append(h("template", { id, class: "no-inline-styles" }));
  await import("../lib/plotly.js");
  return globalThis.Plotly;
}
