/** The service itself: states in numbers, the log, messages to receivers. */

import { badge } from "../../parts/badge.js";
import { fact, facts } from "../../parts/facts.js";
import { h, link } from "../../parts/h.js";
import { empty } from "../../parts/states.js";
import { explained, term } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {Record<string, number>} counts */
export function byState(counts) {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return h(
    "section",
    { class: "card" },
    explained("by_state"),
    some.length === 0
      ? empty("No request was ever received.")
      : h(
          "ul",
          { class: "list tight" },
          some.map(([state, count]) =>
            h(
              "li",
              { key: state },
              h(
                "div",
                { class: "between" },
                badge(state),
                h("a", { class: "number", href: link("requests", { state }) }, count),
              ),
            ),
          ),
        ),
  );
}

/** @param {any} audit */
export function auditCard({ size, root, pending, checkpoint }) {
  return h(
    "section",
    { class: "card" },
    explained("audit"),
    facts(
      fact("Entries", h("span", { class: "number" }, size)),
      fact(term("pending"), h("span", { class: "number" }, pending)),
      fact(term("root"), h("span", { class: "id", title: root }, root.slice(0, 16))),
      fact(
        term("checkpoint"),
        checkpoint
          ? [`of ${checkpoint.size} entries, signed `, time(checkpoint.at, { form: "relative" })]
          : "none yet",
      ),
    ),
  );
}

/** @param {{ waiting: number, failed: number }} callbacks */
export function callbacksCard({ waiting, failed }) {
  return h(
    "section",
    { class: "card" },
    explained("messages"),
    facts(
      fact("Waiting", h("span", { class: "number" }, waiting)),
      fact("Given up", h("span", { class: "number" }, failed)),
    ),
  );
}
