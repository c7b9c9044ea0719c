/** All requests: found by state, due date, model, number; and many at once. */

import { bulkBar } from "./requests/choosing.js";
import { filterForm, pathOf, sourceOf } from "./requests/filter.js";
import { badge } from "../parts/badge.js";
import { due } from "../parts/due.js";
import { h, link } from "../parts/h.js";
import { idLink } from "../parts/id.js";
import { ModelNames } from "../parts/models.js";
import { can } from "../parts/session.js";
import { empty } from "../parts/states.js";
import { table } from "../parts/table.js";
import { term } from "../parts/term.js";
import { time } from "../parts/time.js";
import { REGULATIONS, say, WAITS } from "../words.js";

/** Where the page before a cursor was, of those that were looked at in this window. */
const before = new Map();

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const chosen = new Map();
  const models = new ModelNames();
  const again = page.watch(
    async (reader) => {
      await models.look(reader);
      return reader.read(pathOf(page.query));
    },
    (found) => {
      for (const row of found.items) if (chosen.has(row.id)) chosen.set(row.id, row);
      return [
        bulkBar(chosen, page, () => again()),
        list(found, chosen, page),
        pages(found, page.query),
      ];
    },
    { around: (inside) => [filterForm(page.query, models), inside] },
  );
}

function list({ items }, chosen, page) {
  if (items.length === 0)
    return empty(
      page.query.size > 0 ? "No request fits this filter." : "No request was received yet.",
    );
  const choosing = can("requests:decide") || can("requests:write");
  return h(
    "section",
    { class: "card flush" },
    table({
      caption: "Requests",
      rows: items,
      key: (row) => row.id,
      chosen: (row) => chosen.has(row.id),
      columns: [
        choosing && {
          name: all(items, chosen, page),
          label: "Choose",
          cell: (row) => choice(row, chosen, page),
        },
        {
          name: "Case",
          head: true,
          cell: (row) => [
            idLink(row.id, row.external_id),
            h("span", { class: "under" }, say(REGULATIONS, row.regulation)),
          ],
        },
        { name: "State", cell: (row) => badge(row.state) },
        { name: term("due"), label: "Due", cell: due },
        { name: term("waits_for"), label: "Waits for", cell: waits },
        { name: "Received", minor: true, cell: (row) => time(row.received_at, { form: "date" }) },
        { name: "Changed", minor: true, cell: (row) => time(row.updated_at, { form: "relative" }) },
      ],
    }),
  );
}

function waits({ waits_for }) {
  if (!waits_for) return h("span", { class: "none" }, "–");
  return [
    say(WAITS, waits_for.by),
    waits_for.late && h("span", { class: "late" }, ", longer than it should"),
  ];
}

function choice(row, chosen, page) {
  const name = row.external_id ?? row.id;
  const change = ({ target }) => {
    if (target.checked) chosen.set(row.id, row);
    else chosen.delete(row.id);
    page.redraw();
  };
  return h("input", {
    type: "checkbox",
    "aria-label": `Choose ${name}`,
    checked: chosen.has(row.id),
    on: { change },
  });
}

function all(items, chosen, page) {
  const whole = items.every((row) => chosen.has(row.id));
  const change = ({ target }) => {
    for (const row of items)
      if (target.checked) chosen.set(row.id, row);
      else chosen.delete(row.id);
    page.redraw();
  };
  return h("input", {
    type: "checkbox",
    "aria-label": "Choose all on this page",
    checked: whole,
    on: { change },
  });
}

function pages({ next_cursor }, query) {
  const cursor = query.get("cursor") ?? "";
  const at = (one) => link("requests", { ...sourceOf(query), cursor: one });
  if (next_cursor) before.set(next_cursor, cursor);
  if (!cursor && !next_cursor) return null;
  return h(
    "nav",
    { class: "row", "aria-label": "Pages of this list" },
    cursor && h("a", { class: "button", href: at("") }, "First page"),
    before.get(cursor) && h("a", { class: "button", href: at(before.get(cursor)) }, "Back"),
    next_cursor && h("a", { class: "button", href: at(next_cursor) }, "Next"),
  );
}
