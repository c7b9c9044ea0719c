/** Public keys with which checkpoints and certificates were signed. */

import { mark } from "../../parts/badge.js";
import { h } from "../../parts/h.js";
import { copyable } from "../../parts/id.js";
import { empty } from "../../parts/states.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {any[] | null} keys oldest first; null if this key may not read them */
export function signingCard(keys) {
  return h(
    "section",
    { class: "card" },
    explained("signing", "Signing keys"),
    keys === null
      ? h(
          "p",
          { class: "hint" },
          "Shown to keys with the scope ",
          h("code", null, "audit:read"),
          " or ",
          h("code", null, "requests:read"),
          ".",
        )
      : keys.length === 0
        ? empty("Nothing was signed yet.")
        : [
            h(
              "p",
              { class: "hint" },
              "A key that came to you another way is worth more: compare the fingerprints.",
            ),
            h("ul", { class: "list below" }, keys.map(one).reverse()),
          ],
  );
}

function one(key) {
  return h(
    "li",
    { key: key.key_id },
    h(
      "div",
      { class: "between" },
      h("strong", null, "Ed25519"),
      key.until ? mark("retired", "ended") : mark("in use", "good"),
    ),
    h(
      "div",
      null,
      h("span", { class: "hint" }, "SHA-256 of the public key: "),
      h("span", { class: "id" }, key.key_id),
      " ",
      copyable(key.key_id, "the fingerprint"),
    ),
    h(
      "p",
      { class: "hint" },
      "signs since ",
      time(key.since),
      key.until && [", until ", time(key.until)],
    ),
    h(
      "details",
      { class: "fold small" },
      h("summary", null, "For verifiers"),
      h("pre", { tabindex: "0", class: "note" }, `${key.vkey}\n\n${key.pem}`),
      copyable(key.pem, "the PEM"),
    ),
  );
}
