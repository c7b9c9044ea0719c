/** All models of the controller. */

import { badge, mark } from "../parts/badge.js";
import { h } from "../parts/h.js";
import { idLink } from "../parts/id.js";
import { pagesOf } from "../parts/pages.js";
import { empty } from "../parts/states.js";
import { table } from "../parts/table.js";
import { term } from "../parts/term.js";
import { time } from "../parts/time.js";
import { ERRORS, say } from "../words.js";
import { METHODS } from "../words/runs.js";
import { queryText } from "../parts/h.js";
import { isPaused } from "./model/pause.js";

const PACE_MS = 5_000;

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const cursor = page.query.get("cursor");
  page.watch(
    (reader) => reader.read(`/models?${queryText({ cursor, limit: "50" })}`),
    ({ items, next_cursor: next }) => [
      items.length === 0
        ? empty(
            "No model is registered. A platform team does that with the API or `lotus models register`.",
          )
        : list(items),
      pagesOf("models", page.query, next),
    ],
    { pace: PACE_MS },
  );
}

function list(models) {
  return h(
    "section",
    { class: "card flush" },
    table({
      caption: "Models",
      rows: models,
      key: (row) => row.id,
      columns: [
        { name: "Model", head: true, cell: (row) => idLink(row.id, row.name) },
        { name: "State", cell: state },
        {
          name: term("current_version"),
          label: "Version",
          number: true,
          cell: (row) => row.current_version?.number ?? "–",
        },
        { name: "Architecture", minor: true, cell: (row) => row.architecture },
        { name: "Method", cell: (row) => say(METHODS, row.policy.method) },
        { name: "Registered", minor: true, cell: (row) => time(row.created_at, { form: "date" }) },
      ],
    }),
  );
}

function state(row) {
  if (isPaused(row.paused))
    return mark(`paused: ${say(ERRORS, row.paused.reason) || "runs failed"}`, "paused");
  return badge(row.state);
}
