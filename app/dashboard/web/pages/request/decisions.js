/** What persons decided about the request, with their notes. */

import { plain, REASONS, say } from "../../words.js";
import { actor } from "../../parts/actor.js";
import { h } from "../../parts/h.js";
import { time } from "../../parts/time.js";

const DONE = {
  approve: "Approved",
  refuse: "Refused",
  hold: "Put on hold",
  resume: "Hold ended",
  extend: "Deadline extended",
};

/** @param {any} request @returns {HTMLElement | null} */
export function decisionsCard({ decisions }) {
  if (decisions.length === 0) return null;
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Decisions"),
    h(
      "ul",
      { class: "list" },
      decisions.map((one) =>
        h(
          "li",
          { key: one.decided_at },
          h(
            "p",
            null,
            DONE[one.action] ?? plain(one.action),
            one.reason && `: ${say(REASONS, one.reason)}`,
            one.until && [", until ", time(one.until)],
          ),
          one.note && h("blockquote", null, one.note),
          h(
            "p",
            { class: "hint" },
            "by ",
            actor(one.decided_by),
            ", ",
            time(one.decided_at),
            one.evidence_sha256 && [
              ", letter ",
              h(
                "span",
                { class: "id", title: one.evidence_sha256 },
                one.evidence_sha256.slice(0, 16),
              ),
            ],
          ),
        ),
      ),
    ),
  );
}
