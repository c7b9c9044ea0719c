/** Keys of the controller, the public keys that sign, and who is logged in here. */

import { keysCard, makeButton } from "./keys/list.js";
import { sessionCard } from "./keys/session.js";
import { signingCard } from "./keys/signing.js";
import { h, queryText } from "../parts/h.js";
import { pagesOf } from "../parts/pages.js";
import { can } from "../parts/session.js";
import { lacksScope } from "../parts/states.js";

const PACE_MS = 10_000;

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const admin = can("keys:admin");
  const cursor = page.query.get("cursor");
  const again = page.watch(
    async (reader) => ({
      keys: admin ? await reader.read(`/keys?${queryText({ cursor, limit: "50" })}`) : null,
      signing: (await reader.tryRead("/signing-keys")).data?.items ?? null,
    }),
    ({ keys, signing }) => [
      keys
        ? [
            h(
              "div",
              { class: "row" },
              makeButton(() => again()),
            ),
            keysCard(keys.items, () => again()),
            pagesOf("keys", page.query, keys.next_cursor),
          ]
        : lacksScope("keys:admin"),
      sessionCard(),
      signingCard(signing),
    ],
    { pace: PACE_MS },
  );
}
