/** Whether anybody's request is in danger of being late, what is worked on, and what came of it. */

import { attention, headline } from "./overview/attention.js";
import { auditCard, byState, callbacksCard } from "./overview/service.js";
import { lastRuns, liveRuns, workersCard } from "./overview/work.js";
import { due } from "../parts/due.js";
import { badge } from "../parts/badge.js";
import { h, link } from "../parts/h.js";
import { idLink } from "../parts/id.js";
import { announce } from "../parts/shell.js";
import { empty } from "../parts/states.js";
import { term } from "../parts/term.js";

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  let late = null;
  page.watch(
    (reader) => reader.read("/overview"),
    (found) => {
      const now = found.requests.overdue;
      if (late !== null && now > late) announce(`${now} requests are late`);
      late = now;
      return [
        headline(found),
        h(
          "div",
          { class: "columns" },
          h("div", { class: "page" }, deadlines(found.requests), lastRuns(found.last_runs)),
          h(
            "div",
            { class: "page" },
            attention(found),
            workersCard(found.workers, found.runs),
            liveRuns(found.runs, found.queue),
            byState(found.requests.by_state),
          ),
          h("div", { class: "page wide" }, auditCard(found.audit), callbacksCard(found.callbacks)),
        ),
      ];
    },
  );
}

function deadlines(requests) {
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Deadlines"),
    h(
      "div",
      { class: "figures" },
      figure(
        requests.overdue,
        term("overdue"),
        link("requests", { due: "overdue" }),
        requests.overdue > 0 && "bad",
      ),
      figure(
        requests.due_soon,
        term("due_soon"),
        link("requests", { due: "7" }),
        requests.due_soon > 0 && "warn",
      ),
      figure(requests.open, term("open"), link("requests", { state: "open" })),
    ),
    h("h3", { class: "below" }, "Due next"),
    requests.next_due.length === 0
      ? empty("Nothing is open.")
      : h(
          "ul",
          { class: "list" },
          requests.next_due.map((one) =>
            h(
              "li",
              { key: one.id },
              h("div", { class: "between" }, idLink(one.id, one.external_id), badge(one.state)),
              due(one),
            ),
          ),
        ),
  );
}

function figure(value, name, href, level) {
  return h(
    "div",
    { class: "figure", data: level ? { level } : {} },
    h("a", { class: "value", href }, value),
    h("div", { class: "name" }, name),
  );
}
