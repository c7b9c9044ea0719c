/** Names and values, in as many columns as there is room for. */

import { h } from "./h.js";

/** @param {...import("./h.js").Child} children of `fact` @returns {HTMLElement} */
export function facts(...children) {
  return h("dl", { class: "facts" }, children);
}

/** @param {import("./h.js").Child} name @param {...import("./h.js").Child} value */
export function fact(name, ...value) {
  return h("div", null, h("dt", null, name), h("dd", null, value));
}
