/** From page to page of a list; the cursor stands in the address. */

import { h, link } from "./h.js";

/** Where the page before a cursor was, of those that were looked at in this window. */
const before = new Map();

/**
 * @param {string} page of the address
 * @param {URLSearchParams} query
 * @param {string | null} next cursor
 * @param {{ first?: string, next?: string }} [names]
 */
export function pagesOf(page, query, next, { first = "First page", next: on = "Next" } = {}) {
  const cursor = query.get("cursor") ?? "";
  const rest = Object.fromEntries([...query].filter(([name]) => name !== "cursor"));
  const at = (one) => link(page, { ...rest, cursor: one });
  const place = (one) => `${page} ${one}`;
  if (next) before.set(place(next), cursor);
  if (!cursor && !next) return null;
  const back = before.get(place(cursor));
  return h(
    "nav",
    { class: "row", "aria-label": "Pages of this list" },
    cursor && h("a", { class: "button", href: at("") }, first),
    back && h("a", { class: "button", href: at(back) }, "Back"),
    next && h("a", { class: "button", href: at(next) }, on),
  );
}
