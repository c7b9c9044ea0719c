/** Whether completed cases hold on later versions. */

import { ERRORS, plain, say } from "../../words.js";
import { TRIGGERS } from "../../words/runs.js";
import { mark } from "../../parts/badge.js";
import { h } from "../../parts/h.js";
import { number } from "../../parts/number.js";
import { empty, lacksScope } from "../../parts/states.js";
import { table } from "../../parts/table.js";
import { explained, term } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {any[] | null} rechecks newest first; null, if the key may not read them */
export function recheckCard(rechecks) {
  return h(
    "section",
    { class: "card" },
    explained("recheck", "Re-checks"),
    rechecks === null
      ? lacksScope("requests:read")
      : rechecks.length === 0
        ? empty("None yet: they begin once a case is completed and a later version is published.")
        : table({
            caption: "Re-checks",
            rows: rechecks,
            key: (row) => row.id,
            columns: [
              { name: "When", head: true, cell: (row) => time(row.finished_at ?? row.created_at) },
              { name: "Version", number: true, cell: (row) => row.version.number },
              { name: "Looked at", minor: true, cell: (row) => say(TRIGGERS, row.trigger) },
              { name: "Result", cell: result },
              { name: "Cases", number: true, cell: (row) => row.case_count },
              {
                name: term("pooled_change"),
                label: "Change",
                cell: (row) =>
                  row.pooled
                    ? `${number(row.pooled.difference)}, at least ${number(row.pooled.lower_99)}`
                    : "–",
              },
            ],
          }),
  );
}

function result({ state, relapsed_count: relapsed, error_class: error, pooled }) {
  if (state === "failed") return mark(`failed: ${say(ERRORS, error)}`, "bad");
  if (state !== "done") return mark(plain(state), "active");
  if (relapsed > 0) return mark(`${relapsed} relapsed`, "bad");
  return mark(pooled?.alarm ? "alarm, no single case" : "holds", pooled?.alarm ? "person" : "good");
}
