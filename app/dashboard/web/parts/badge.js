/** States by word and shape; the colour only helps. */

import { plain, STATES, VERDICTS } from "../words.js";
import { h, svg } from "./h.js";

// What each shape looks like, in a square of 12.
const SHAPES = {
  good: "M2 6.5 5 9.5 10 3",
  bad: "M3 3 9 9M9 3 3 9",
  person: "M6 2v5M6 9.5v.1",
  active: "M4 2.5 9.5 6 4 9.5z",
  waiting: "M6 1.2a4.8 4.8 0 1 0 .01 0zM6 3.6V6.2l1.7 1",
  paused: "M4 3v6M8 3v6",
  ended: "M2.5 6h7",
};

/**
 * @param {string | null | undefined} state of a request, item, run, delivery, certificate, version
 * @returns {HTMLElement}
 */
export function badge(state) {
  const [words, shape] = STATES[state] ?? [plain(state) || "unknown", "waiting"];
  return mark(words, shape);
}

/** @param {string | null | undefined} verdict */
export function verdictBadge(verdict) {
  if (!verdict) return h("span", { class: "none" }, "no verdict");
  const [words, shape, means] = VERDICTS[verdict] ?? [plain(verdict), "waiting", ""];
  return mark(words, shape, means);
}

/**
 * @param {string} words
 * @param {"good" | "bad" | "person" | "active" | "waiting" | "paused" | "ended"} shape
 * @param {string} [title]
 */
export function mark(words, shape, title) {
  return h("span", { class: "badge", data: { shape }, title: title || null }, icon(shape), words);
}

/** @param {string} shape */
export function icon(shape) {
  return svg(
    "svg",
    { viewBox: "0 0 12 12", class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: SHAPES[shape] }),
  );
}
