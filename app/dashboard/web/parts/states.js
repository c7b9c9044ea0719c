/** What a page shows when it has nothing to show. */

import { Refusal } from "./api.js";
import { h, link } from "./h.js";

export function loading(what = "Loading") {
  return h("p", { class: "state loading", role: "status" }, `${what} …`);
}

/** @param {string} text @param {...import("./h.js").Child} more */
export function empty(text, ...more) {
  return h("p", { class: "state empty" }, text, ...more);
}

/** @param {Error} refusal @param {string | null} [scope] what the page needs */
export function refused(refusal, scope = null) {
  if (!(refusal instanceof Refusal))
    return h("p", { class: "state error" }, "This page cannot be shown: a fault of the dashboard.");
  if (refusal.status === 403) return lacksScope(scope, refusal.message);
  if (refusal.status === 404)
    return h(
      "div",
      { class: "state error" },
      h("p", null, "There is nothing here: the id is unknown, or belongs to somebody else."),
      h("p", null, h("a", { href: link() }, "To the overview")),
    );
  return h(
    "div",
    { class: "state error" },
    h("p", null, h("strong", null, refusal.title), ": ", refusal.message),
    refusal.errors.length > 0 &&
      h(
        "ul",
        null,
        refusal.errors.map((one) => h("li", null, `${one.field} ${one.message}`)),
      ),
  );
}

/** @param {string | null} scope @param {string} [detail] what the service said */
export function lacksScope(scope, detail = "") {
  const names = scope
    ? ["Your key lacks the scope ", h("code", null, scope), "."]
    : [detail || "Your key lacks a scope."];
  return h("p", { class: "state scope" }, names, " Ask whoever makes keys for one that has it.");
}
