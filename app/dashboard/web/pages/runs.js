/** All runs, newest first. */

import { badge, verdictBadge } from "../parts/badge.js";
import { select } from "../parts/fields.js";
import { h, link, queryText } from "../parts/h.js";
import { idLink } from "../parts/id.js";
import { ModelNames } from "../parts/models.js";
import { pagesOf } from "../parts/pages.js";
import { empty } from "../parts/states.js";
import { table } from "../parts/table.js";
import { term } from "../parts/term.js";
import { length, time } from "../parts/time.js";
import { plain, say, STATES } from "../words.js";
import { METHODS } from "../words/runs.js";

const RUN_STATES = [
  "queued",
  "running",
  "verifying",
  "publishing",
  "succeeded",
  "rejected",
  "superseded",
  "failed",
];

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const models = new ModelNames();
  const { query } = page;
  page.watch(
    async (reader) => {
      await models.look(reader);
      const { state, model, cursor } = Object.fromEntries(query);
      return reader.read(`/runs?${queryText({ state, model, cursor, limit: "50" })}`);
    },
    (found) => [list(found.items, models.names, query), pagesOf("runs", query, found.next_cursor)],
    { around: (inside) => [filter(query, models), inside] },
  );
}

function filter(query, models) {
  const change = ({ target }) => {
    const { cursor: _, ...rest } = Object.fromEntries(query);
    location.hash = link("runs", { ...rest, [target.name]: target.value });
  };
  const model = query.get("model") ?? "";
  const state = query.get("state") ?? "";
  const states = RUN_STATES.includes(state) || !state ? RUN_STATES : [...RUN_STATES, state];
  const choices = models.choices(model);
  return h(
    "form",
    { class: "card filter", on: { submit: (event) => event.preventDefault() } },
    select(
      "State",
      "state",
      [["", "Any"], ...states.map((one) => [one, STATES[one]?.[0] ?? plain(one)])],
      { value: state, on: { change } },
    ),
    choices.length > 0 && select("Model", "model", choices, { value: model, on: { change } }),
  );
}

function list(runs, names, query) {
  if (runs.length === 0)
    return empty(query.size > 0 ? "No run fits this filter." : "Nothing was unlearned yet.");
  return h(
    "section",
    { class: "card flush" },
    table({
      caption: "Runs",
      rows: runs,
      key: (row) => row.id,
      columns: [
        { name: term("run"), label: "Run", head: true, cell: (row) => idLink(row.id) },
        { name: "Model", cell: (row) => idLink(row.model, names.get(row.model)) },
        { name: "State", cell: (row) => badge(row.state) },
        {
          name: term("verdict"),
          label: "Verdict",
          cell: (row) => row.verdict && verdictBadge(row.verdict),
        },
        { name: "Method", minor: true, cell: (row) => say(METHODS, row.method) },
        { name: term("rung"), label: "Rung", number: true, minor: true, cell: (row) => row.rung },
        { name: "Formed", cell: (row) => time(row.created_at, { form: "relative" }) },
        { name: "Took", minor: true, number: true, cell: took },
      ],
    }),
  );
}

function took({ started_at, finished_at }) {
  if (!started_at || !finished_at) return "–";
  return length((Date.parse(finished_at) - Date.parse(started_at)) / 1000);
}
