/** What can be done to all rows that are chosen. */

import { ACTIONS, possible } from "../../parts/actions.js";
import { askForMany } from "../../parts/bulk.js";
import { h } from "../../parts/h.js";

/**
 * @param {Map<string, any>} chosen
 * @param {import("../../parts/page.js").Page} page
 * @param {() => void} again
 */
export function bulkBar(chosen, page, again) {
  if (chosen.size === 0) return null;
  const rows = [...chosen.values()];
  const found = new Set(rows.flatMap((row) => possible(row.state)));
  const actions = ACTIONS.filter((one) => found.has(one));
  const done = () => {
    chosen.clear();
    page.redraw();
    again();
  };
  return h(
    "div",
    { class: "card bulk row", role: "group", "aria-label": "Chosen requests", key: "bulk" },
    h("strong", null, `${rows.length} chosen`),
    actions.map((action) =>
      h(
        "button",
        {
          type: "button",
          key: action.id,
          class: action.danger ? "danger small" : "small",
          on: { click: () => askForMany(action, rows, done) },
        },
        action.name,
      ),
    ),
    h(
      "button",
      {
        type: "button",
        class: "small quiet",
        on: {
          click: () => {
            chosen.clear();
            page.redraw();
          },
        },
      },
      "Choose none",
    ),
    actions.length === 0 &&
      h(
        "span",
        { class: "hint" },
        "Nothing can be done to these: they have ended, or your key does not allow it.",
      ),
  );
}
