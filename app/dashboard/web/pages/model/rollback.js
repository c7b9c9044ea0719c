/** Taking versions back, within the policy's window, and when that was done. */

import { send } from "../../parts/api.js";
import { ask } from "../../parts/dialog.js";
import { input } from "../../parts/fields.js";
import { h } from "../../parts/h.js";
import { counted } from "../../parts/number.js";
import { announce } from "../../parts/shell.js";
import { table } from "../../parts/table.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {any} model @param {any} version that becomes current @param {() => void} again */
export function askToRollBack(model, version, again) {
  ask({
    title: `Go back to version ${version.number}`,
    what: [
      h(
        "p",
        null,
        `Version ${version.number} becomes current again in place of version ${model.current_version.number}. Every version between is taken back and never comes back.`,
      ),
      h(
        "p",
        null,
        "Requests that rested on them are reopened and their samples unlearned once more; their certificates are replaced. Until then the service serves a model that knows these samples.",
      ),
      h("p", null, "Whoever pulled a version that is taken back has to pull anew."),
    ],
    fields: [
      input(
        "Reason",
        "reason",
        { required: true, maxlength: 500 },
        "For your own people; name no person.",
      ),
    ],
    action: `Go back to version ${version.number}`,
    danger: true,
    submit: async ({ reason }) => {
      const done = await send("POST", `/models/${encodeURIComponent(model.id)}/rollback`, {
        version: version.id,
        reason,
      });
      announce(
        `Version ${done.to_version.number} is current; ${counted(done.reopened, "request")} reopened`,
      );
      again();
    },
  });
}

/** @param {any[]} rollbacks newest first */
export function rollbacksCard(rollbacks) {
  if (rollbacks.length === 0) return null;
  return h(
    "section",
    { class: "card" },
    explained("rollback", "Versions taken back"),
    table({
      caption: "Rollbacks",
      rows: rollbacks,
      key: (row) => row.created_at,
      columns: [
        { name: "When", head: true, cell: (row) => time(row.created_at) },
        { name: "From", number: true, cell: (row) => row.from_version.number },
        { name: "To", number: true, cell: (row) => row.to_version.number },
        { name: "Taken back", cell: (row) => row.taken_back.join(", ") },
        { name: "Reopened", number: true, cell: (row) => counted(row.reopened, "request") },
        { name: "Reason", cell: (row) => row.reason },
      ],
    }),
  );
}
