/** Who else is concerned: who pulled the weights, and who was told of the request. */

import { plain } from "../../words.js";
import { send } from "../../parts/api.js";
import { badge } from "../../parts/badge.js";
import { told } from "../../parts/dialog.js";
import { h } from "../../parts/h.js";
import { idLink, short } from "../../parts/id.js";
import { counted } from "../../parts/number.js";
import { announce } from "../../parts/shell.js";
import { empty } from "../../parts/states.js";
import { table } from "../../parts/table.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {{ items: any[], complete: boolean }} recipients */
export function recipientsCard({ items, complete }) {
  return h(
    "section",
    { class: "card" },
    explained("recipients"),
    !complete &&
      h(
        "p",
        { class: "hint" },
        "A version was served before pulls were recorded: there may be others.",
      ),
    items.length === 0
      ? empty("Nobody pulled weights that were trained on these samples.")
      : table({
          caption: "Recipients",
          rows: items,
          key: (row) => row.key + row.model,
          columns: [
            { name: "Key", head: true, cell: (row) => row.name },
            { name: "Model", cell: (row) => idLink(row.model, row.model_name) },
            { name: "Versions", cell: (row) => row.numbers.join(", ") },
            { name: "Last pulled", cell: (row) => time(row.last_at) },
            {
              name: "Newer weights",
              cell: (row) =>
                row.renewed_at
                  ? ["pulled ", time(row.renewed_at)]
                  : h("span", { class: "near" }, "not pulled yet"),
            },
          ],
        }),
  );
}

/** @param {{ items: any[] } | null} messages null, if the key may not read them @param {() => void} again */
export function messagesCard(messages, again) {
  if (messages === null)
    return h(
      "p",
      { class: "hint" },
      "Whether receivers were told of this request is shown to keys with the scope ",
      h("code", null, "webhooks:admin"),
      ".",
    );
  const { items } = messages;
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Messages to receivers"),
    items.length === 0
      ? empty("Nobody had to be told of this request.")
      : table({
          caption: "Messages",
          rows: items,
          key: (row) => row.id,
          columns: [
            { name: "Event", head: true, cell: (row) => row.event },
            {
              name: "Receiver",
              cell: (row) =>
                row.webhook
                  ? h("span", { class: "id", title: row.webhook }, short(row.webhook))
                  : "named by the request",
            },
            { name: "State", cell: (row) => badge(row.state) },
            { name: "Attempts", number: true, cell: (row) => row.attempts },
            {
              name: "Last answer",
              minor: true,
              cell: (row) => row.last_status ?? (plain(row.last_error) || "–"),
            },
            { name: "Made", minor: true, cell: (row) => time(row.created_at) },
            items.some((row) => row.state === "dead") && {
              name: "Again",
              cell: (row) => row.state === "dead" && replay(row, again),
            },
          ],
        }),
  );
}

function replay(row, again) {
  async function click({ target }) {
    target.disabled = true;
    try {
      await send("POST", `/webhooks/deliveries/${encodeURIComponent(row.id)}/replay`);
      announce(`${counted(1, "message")} will be sent again`);
      again();
    } catch (problem) {
      target.after(h("span", { class: "late" }, told(problem)));
    }
  }
  return h("button", { type: "button", class: "small", on: { click } }, "Send again");
}
