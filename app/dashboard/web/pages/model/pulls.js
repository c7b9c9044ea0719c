/** Who pulled which version. */

import { h } from "../../parts/h.js";
import { short } from "../../parts/id.js";
import { empty } from "../../parts/states.js";
import { table } from "../../parts/table.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {{ items: any[], next_cursor: string | null }} pulls */
export function pullsCard({ items, next_cursor: more }) {
  return h(
    "section",
    { class: "card" },
    explained("pulls"),
    more && h("p", { class: "hint" }, "The first 200; `lotus models recipients` lists all."),
    items.length === 0
      ? empty("Nobody has pulled weights of this model.")
      : table({
          caption: "Recipients",
          rows: items,
          key: (row) => row.key + row.version,
          columns: [
            { name: "Key", head: true, cell: (row) => h("bdi", null, row.name) },
            {
              name: "Key id",
              minor: true,
              cell: (row) => h("span", { class: "id", title: row.key }, short(row.key)),
            },
            { name: "Version", number: true, cell: (row) => row.number },
            { name: "Pulls", number: true, cell: (row) => row.count },
            { name: "First", minor: true, cell: (row) => time(row.first_at) },
            { name: "Last", cell: (row) => time(row.last_at, { form: "relative" }) },
          ],
        }),
  );
}
