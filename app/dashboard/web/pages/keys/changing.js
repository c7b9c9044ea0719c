/** Making, rotating and revoking a key. A key is shown once, and is kept nowhere here. */

import { send } from "../../parts/api.js";
import { ask, showOnce } from "../../parts/dialog.js";
import { input, select, toInstant } from "../../parts/fields.js";
import { h } from "../../parts/h.js";
import { copyable } from "../../parts/id.js";
import { now } from "../../parts/now.js";
import { session } from "../../parts/session.js";
import { announce } from "../../parts/shell.js";
import { time } from "../../parts/time.js";
import { SCOPES } from "../../words/keys.js";

const DAY_MS = 86_400_000;
const LIVES = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "a year"],
  ["other", "until a day of my choice"],
  ["", "no end"],
];
const OVERLAPS = [
  ["86400", "a day"],
  ["3600", "an hour"],
  ["604800", "a week"],
  ["0", "not at all"],
];

/** @param {() => void} again */
export function askToMake(again) {
  const boxes = h(
    "fieldset",
    { class: "scope-choice" },
    h("legend", null, "Scopes"),
    h("p", { class: "hint" }, "What the key may do. Only those that your own key has."),
    (session()?.scopes ?? []).map((one) =>
      h(
        "label",
        { class: "choice" },
        h("input", { type: "checkbox", name: `scope ${one}` }),
        h("span", null, h("code", null, one), h("span", { class: "under" }, SCOPES[one] ?? "")),
      ),
    ),
  );
  const until = input("Ends on", "until", { type: "datetime-local" });
  until.hidden = true;
  const life = select("Lasts", "life", LIVES, {
    value: "90",
    on: { change: ({ target }) => (until.hidden = target.value !== "other") },
  });
  ask({
    title: "Make a key",
    what: h(
      "p",
      null,
      "It is shown once. The log names keys, so make one for each person and program.",
    ),
    fields: [
      input("Name", "name", { required: true, maxlength: 200 }, "Who or what will use it."),
      boxes,
      life,
      until,
    ],
    action: "Make the key",
    submit: async (values) => {
      const made = await send("POST", "/keys", bodyOf(values));
      again();
      reveal(made, "The new key");
    },
  });
}

function bodyOf({ name, life, until, ...boxes }) {
  const scopes = Object.keys(boxes)
    .filter((one) => one.startsWith("scope "))
    .map((one) => one.slice(6));
  if (scopes.length === 0) throw new Error("Choose at least one scope.");
  const expires = endOf(life, until);
  return { name, scopes, ...(expires ? { expires_at: expires } : {}) };
}

function endOf(life, until) {
  if (life === "") return null;
  if (life !== "other") return new Date(now() + Number(life) * DAY_MS).toISOString();
  if (!until) throw new Error("Say when the key ends.");
  return toInstant(until);
}

/** @param {any} key @param {() => void} again */
export function askToRotate(key, again) {
  const own = key.id === session()?.key.id;
  ask({
    title: `Rotate ${key.name}`,
    what: [
      h(
        "p",
        null,
        "A successor with the same name and scopes is made and shown once. It is given as long a life as this one was.",
      ),
      own &&
        h(
          "p",
          { class: "near" },
          "You are logged in with this key: your session ends, and you log in with the new one. Copy it first.",
        ),
    ],
    fields: [select("The old key stays valid for", "overlap", OVERLAPS, { value: "86400" })],
    action: "Rotate",
    submit: async ({ overlap }) => {
      const made = await send("POST", `/keys/${encodeURIComponent(key.id)}/rotate`, {
        overlap_seconds: Number(overlap),
      });
      reveal(made, "The successor");
      if (!own) again();
    },
  });
}

/** @param {any} key @param {() => void} again */
export function askToRevoke(key, again) {
  const own = key.id === session()?.key.id;
  ask({
    title: `Revoke ${key.name}`,
    what: [
      h(
        "p",
        null,
        `The next call with ${key.prefix}… is refused, its sessions end, and this cannot be taken back. Keys that it made stay valid: look at them too if it may be in wrong hands.`,
      ),
      own && h("p", { class: "near" }, "You are logged in with this key, and will be logged out."),
    ],
    action: "Revoke",
    danger: true,
    submit: async () => {
      await send("DELETE", `/keys/${encodeURIComponent(key.id)}`);
      announce(`${key.name} is revoked`);
      again();
    },
  });
}

/** @param {any} made @param {string} title */
function reveal(made, title) {
  const dialog = showOnce(
    title,
    h(
      "p",
      null,
      h("bdi", null, made.name),
      ": it is shown here and never again. The service keeps only a digest of it.",
    ),
    h(
      "div",
      { class: "row" },
      h("code", { class: "secret", tabindex: "0" }, made.key),
      copyable(made.key, "the key"),
    ),
    made.expires_at && h("p", { class: "hint" }, "It ends ", time(made.expires_at), "."),
  );
  // What is closed is gone from the page too.
  dialog.addEventListener("close", () => dialog.replaceChildren());
}
