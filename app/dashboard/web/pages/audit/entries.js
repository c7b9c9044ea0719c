/** Entries of the log, the newest first. */

import { mark } from "../../parts/badge.js";
import { actor } from "../../parts/actor.js";
import { h } from "../../parts/h.js";
import { idLink } from "../../parts/id.js";
import { empty } from "../../parts/states.js";
import { table } from "../../parts/table.js";
import { term } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { sentence } from "../../words/audit.js";

const LINKED = ["request", "run", "model"];

/** @param {any[]} entries @param {import("./checking.js").Checking} checking @param {string | undefined} request */
export function entriesCard(entries, checking, request) {
  if (entries.length === 0)
    return empty(
      request ? "The log has no entry about this request." : "The log has no entry here.",
    );
  return h(
    "section",
    { class: "card flush" },
    table({
      caption: "Entries of the log",
      rows: entries,
      key: (row) => String(row.index),
      columns: [
        { name: "Entry", number: true, head: true, cell: (row) => row.index },
        { name: "When", cell: (row) => time(row.created_at, { form: "precise" }) },
        { name: "What", cell: what },
        {
          name: term("leaf_hash"),
          label: "Hash",
          minor: true,
          cell: (row) =>
            h("span", { class: "id", title: row.leaf_hash }, row.leaf_hash.slice(0, 12)),
        },
        { name: "Checked", cell: (row) => checked(checking.of(row)) },
      ],
    }),
  );
}

function what(row) {
  const who = actor(row.facts.actor);
  const links = LINKED.filter((name) => typeof row.facts[name] === "string");
  return [
    h("div", null, sentence(row), who && [", by ", who]),
    links.length > 0 &&
      h(
        "div",
        { class: "row hint" },
        links.map((name) => h("span", null, `${name} `, idLink(row.facts[name]))),
      ),
    h(
      "details",
      { class: "fold small" },
      h("summary", null, "Facts"),
      h(
        "p",
        { class: "hint" },
        h("code", null, row.kind),
        ", hash ",
        h("code", null, row.leaf_hash),
      ),
      h("pre", { tabindex: "0" }, JSON.stringify(row.facts, null, 2)),
    ),
  ];
}

function checked(flaw) {
  if (flaw === undefined) return h("span", { class: "none" }, "–");
  return flaw === null ? mark("as logged", "good") : [mark("not as logged", "bad"), " ", flaw];
}
