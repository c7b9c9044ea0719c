/** The request's story, as the audit log has it. */

import { sentence } from "../../words/audit.js";
import { actor } from "../../parts/actor.js";
import { h } from "../../parts/h.js";
import { idLink } from "../../parts/id.js";
import { empty, lacksScope } from "../../parts/states.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {any[] | null} entries null, if the key may not read them @param {any[]} items of the request */
export function timelineCard(entries, items) {
  return h(
    "section",
    { class: "card" },
    explained("audit", "What happened"),
    entries === null
      ? lacksScope("audit:read")
      : entries.length === 0
        ? empty("The log has no entry of it yet.")
        : h(
            "ol",
            { class: "timeline" },
            entries.map((entry) => entryView(entry, items)),
          ),
  );
}

function entryView(entry, items) {
  const { facts, index, created_at } = entry;
  return h(
    "li",
    { key: entry.leaf_hash },
    h(
      "div",
      { class: "when" },
      time(created_at, { form: "precise" }),
      h("span", { class: "hint" }, index === null ? "not in the tree yet" : `entry ${index}`),
    ),
    h(
      "div",
      { class: "what" },
      h("p", null, sentence(entry)),
      h(
        "p",
        { class: "hint" },
        facts.actor && ["by ", actor(facts.actor)],
        facts.run && [facts.actor && " · ", idLink(facts.run)],
        facts.model && [
          (facts.actor || facts.run) && " · ",
          idLink(facts.model, items.find((one) => one.model === facts.model)?.model_name),
        ],
      ),
    ),
  );
}
