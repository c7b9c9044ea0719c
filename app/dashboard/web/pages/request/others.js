/** Who else is concerned: who pulled the weights, and who was told of the request. */

import { plain } from "../../words.js";
import { send } from "../../parts/api.js";
import { badge } from "../../parts/badge.js";
import { ask } from "../../parts/dialog.js";
import { h } from "../../parts/h.js";
import { idLink, short } from "../../parts/id.js";
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
            { name: "Key", head: true, cell: (row) => h("bdi", null, row.name) },
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
    explained("messages"),
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
  return h(
    "button",
    {
      type: "button",
      class: "small",
      "aria-label": `Send ${row.event} again`,
      on: { click: () => askToReplay(row, again) },
    },
    "Send again",
  );
}

function askToReplay(row, again) {
  ask({
    title: "Send the message again",
    what: h("p", null, `${row.event} goes to the same receiver once more, with the same id.`),
    action: "Send again",
    submit: async () => {
      await send("POST", `/webhooks/deliveries/${encodeURIComponent(row.id)}/replay`);
      announce("The message will be sent again");
      again();
    },
  });
}
