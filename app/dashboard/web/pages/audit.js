/** The log: its head, its newest checkpoint, its entries, and whether they are what was signed. */

import { Checking } from "./audit/checking.js";
import { entriesCard } from "./audit/entries.js";
import { call, Refusal } from "../parts/api.js";
import { fact, facts } from "../parts/facts.js";
import { input } from "../parts/fields.js";
import { h, link, queryText } from "../parts/h.js";
import { copyable } from "../parts/id.js";
import { pagesOf } from "../parts/pages.js";
import { explained, term } from "../parts/term.js";

const PACE_MS = 5_000;
const REQUEST = "req_[0-9a-f]{32}";

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const { request, cursor } = Object.fromEntries(page.query);
  const path = `/audit/entries?${queryText({ order: "newest", request, cursor, limit: "50" })}`;
  const checking = new Checking(page, path);
  let newest = null;
  page.watch(
    async (reader) => {
      const head = await reader.read("/audit/head");
      // A text, which the reader does not know; while it is of this size there is no newer one.
      if (newest?.text?.split("\n")[1] !== String(head.size)) {
        const found = await checkpoint(page.signal);
        if (found.text !== newest?.text || found.refusal?.code !== newest?.refusal?.code)
          reader.changed = true;
        newest = found;
      }
      return { head, newest, entries: await reader.read(path) };
    },
    (found) => [
      headCard(found.head, found.newest),
      checking.view(),
      entriesCard(found.entries.items, checking, request),
      pagesOf("audit", page.query, found.entries.next_cursor, { first: "Newest", next: "Earlier" }),
    ],
    { pace: PACE_MS, around: (inside) => [filter(request), inside] },
  );
}

/** @returns {Promise<{ text?: string, refusal?: Refusal }>} */
async function checkpoint(signal) {
  try {
    const { text } = await call("GET", "/audit/checkpoint", { signal, headers: { Accept: "*/*" } });
    return { text };
  } catch (error) {
    if (!(error instanceof Refusal) || ![404, 409].includes(error.status)) throw error;
    return { refusal: error };
  }
}

function filter(request) {
  const submit = (event) => {
    event.preventDefault();
    location.hash = link("audit", { request: event.target.elements.request.value.trim() });
  };
  return h(
    "form",
    { class: "card filter-line", on: { submit } },
    input("Entries of one request", "request", {
      value: request ?? "",
      pattern: REQUEST,
      placeholder: "req_…",
      title: "The id of a request: req_ and 32 characters",
      spellcheck: "false",
      autocomplete: "off",
    }),
    h("button", { type: "submit" }, "Show"),
    request && h("a", { class: "button", href: link("audit") }, "All entries"),
  );
}

function headCard({ size, root, pending }, newest) {
  return h(
    "section",
    { class: "card" },
    explained("audit", "Head"),
    newest?.refusal?.status === 409 && h("p", { class: "late" }, newest.refusal.message),
    facts(
      fact("Entries", h("span", { class: "number" }, size)),
      fact(term("pending"), h("span", { class: "number" }, pending)),
      h(
        "div",
        { class: "wide" },
        h("dt", null, term("root")),
        h("dd", null, h("span", { class: "id" }, root), " ", copyable(root, "the root")),
      ),
    ),
    h(
      "div",
      { class: "between-line below" },
      h("h3", null, "Newest checkpoint"),
      newest?.text && copyable(newest.text, "the checkpoint"),
    ),
    newest?.text
      ? [
          h("pre", { tabindex: "0", class: "note" }, newest.text),
          h(
            "p",
            { class: "hint" },
            "Keep it where the service cannot reach it. With it, and a later one, anybody can show that nothing before it was changed.",
          ),
        ]
      : h("p", { class: "hint" }, newest?.refusal?.message ?? "Nothing has been signed yet."),
  );
}
