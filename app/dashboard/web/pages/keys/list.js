/** API keys: who may call, and what can be done about them. */

import { mark } from "../../parts/badge.js";
import { h } from "../../parts/h.js";
import { short } from "../../parts/id.js";
import { session } from "../../parts/session.js";
import { empty } from "../../parts/states.js";
import { table } from "../../parts/table.js";
import { term } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { askToMake, askToRevoke, askToRotate } from "./changing.js";

/** @param {() => void} again */
export function makeButton(again) {
  return h(
    "button",
    { type: "button", class: "primary", on: { click: () => askToMake(again) } },
    "Make a key",
  );
}

/** @param {any[]} keys newest first @param {() => void} again */
export function keysCard(keys, again) {
  if (keys.length === 0) return empty("There is no key here.");
  return h(
    "section",
    { class: "card flush" },
    table({
      caption: "Keys",
      rows: keys,
      key: (row) => row.id,
      columns: [
        { name: "Name", head: true, cell: name },
        { name: "State", cell: state },
        { name: term("scopes"), label: "Scopes", cell: scopes },
        { name: "Last used", cell: (row) => time(row.last_used_at, { form: "relative" }) },
        { name: "Ends", cell: ends },
        { name: "Do", cell: (row) => actions(row, again) },
      ],
    }),
  );
}

function name(row) {
  return [
    h("bdi", { class: "name" }, row.name),
    row.id === session()?.key.id && h("span", { class: "under" }, "you are logged in with it"),
    h("span", { class: "under id" }, `${row.prefix}…`),
    row.made_by &&
      h("span", { class: "under", title: row.made_by }, `made by ${short(row.made_by)}`),
    row.succeeds &&
      h("span", { class: "under", title: row.succeeds }, `in place of ${short(row.succeeds)}`),
  ];
}

function state({ valid, revoked_at: revoked }) {
  if (valid) return mark("valid", "good");
  return revoked ? mark("revoked", "ended") : mark("expired", "ended");
}

function scopes({ scopes: all }) {
  return h(
    "ul",
    { class: "inline scopes" },
    all.map((one) => h("li", null, h("code", null, one))),
  );
}

function ends({ expires_at: expires, revoked_at: revoked }) {
  if (revoked) return ["revoked ", time(revoked, { form: "relative" })];
  return expires ? time(expires) : "never";
}

function actions(row, again) {
  if (!row.valid) return null;
  return h(
    "div",
    { class: "row" },
    h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `Rotate ${row.name}`,
        on: { click: () => askToRotate(row, again) },
      },
      "Rotate",
    ),
    h(
      "button",
      {
        type: "button",
        class: "small danger",
        "aria-label": `Revoke ${row.name}`,
        on: { click: () => askToRevoke(row, again) },
      },
      "Revoke",
    ),
  );
}
