/** Ids of the service: short to look at, whole to copy. */

import { h, link } from "./h.js";

const PAGES = { req: "requests", run: "runs", mdl: "models" };

/** @param {string} id @returns {string} its prefix and its end, which differs from those of its time */
export function short(id) {
  const [prefix, rest = ""] = id.split("_");
  return rest.length > 12 ? `${prefix}_…${rest.slice(-8)}` : id;
}

/**
 * @param {string | null | undefined} id
 * @param {import("./h.js").Child} [shown] Default: the id, shortened
 * @returns {HTMLElement} a link, if there is a page for such ids
 */
export function idLink(id, shown) {
  if (!id) return h("span", { class: "none" }, "–");
  const page = PAGES[id.split("_")[0]];
  const props = { class: shown ? null : "id", title: id };
  return page
    ? h("a", { ...props, href: link(page, id) }, shown ?? short(id))
    : h("span", props, shown ?? short(id));
}

/** @param {string} text @param {string} [what] it is, for screen readers */
export function copyable(text, what = "this") {
  const button = h(
    "button",
    { type: "button", class: "small quiet", "aria-label": `Copy ${what}`, on: { click } },
    "Copy",
  );
  async function click() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Browsers give the clipboard to pages of https and of the machine itself only.
      button.textContent = "Not allowed: select it";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }
  return button;
}
