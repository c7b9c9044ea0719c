/** Where the request stands in words, its dates, and what can be done about it. */

import {
  ERRORS,
  OUTCOMES,
  plain,
  REASONS,
  REGULATIONS,
  REOPENINGS,
  say,
  WAITS,
} from "../../words.js";
import { ACTIONS, carryOut, possible } from "../../parts/actions.js";
import { ask } from "../../parts/dialog.js";
import { due } from "../../parts/due.js";
import { fact, facts } from "../../parts/facts.js";
import { h } from "../../parts/h.js";
import { copyable, idLink } from "../../parts/id.js";
import { can } from "../../parts/session.js";
import { term } from "../../parts/term.js";
import { time } from "../../parts/time.js";

/** @param {any} request @param {() => void} again */
export function standing(request, again) {
  return h(
    "section",
    { class: "card", "aria-label": "Where it stands" },
    h("p", { class: "lead" }, inWords(request)),
    h(
      "p",
      { class: "lead-due" },
      request.waits_for && due(request),
      request.waits_for?.late &&
        h("span", { class: "late" }, " It has waited longer than it should."),
    ),
    actions(request, again),
    facts(
      fact(term("due"), time(request.due_at)),
      fact(term("expected"), time(request.expected_completion_at, { form: "both" })),
      request.waits_for &&
        fact(
          term("waits_for"),
          `${say(WAITS, request.waits_for.by)}, since `,
          time(request.waits_for.since),
          ", until ",
          time(request.waits_for.until),
        ),
      fact(
        "Law",
        say(REGULATIONS, request.regulation),
        request.legal_ground && `, ${plain(request.legal_ground)}`,
      ),
      fact("The person asked", time(request.submitted_at)),
      fact("Received here", time(request.received_at)),
      request.approval.asked !== "none" && fact(term("approval"), approval(request.approval)),
      request.deadline.jurisdiction && fact("Holidays of", request.deadline.jurisdiction),
      request.deadline.extended_due_at &&
        fact(
          "Extended",
          `${say(REASONS, request.deadline.extension_reason)}; first due `,
          time(request.deadline.first_due_at),
        ),
      request.completed_at && fact("Completed", time(request.completed_at)),
      request.closed_at
        ? fact("Closed", time(request.closed_at))
        : request.closes_at && fact(term("closes"), time(request.closes_at, { form: "both" })),
      request.earlier_request && fact("Earlier case", idLink(request.earlier_request)),
      fact(
        "Id",
        h("span", { class: "id" }, request.id),
        " ",
        copyable(request.id, "the id of the request"),
      ),
    ),
  );
}

/** @param {any} request @returns {import("../../parts/h.js").Child} */
function inWords(request) {
  const { state, outcome, reason_code, hold } = request;
  const failed = request.items.find((one) => one.error_class)?.error_class;
  const words = {
    received: "It has just been received.",
    awaiting_approval: "It waits until somebody agrees. Its legal period runs on.",
    scheduled: "It waits for a worker.",
    running: "A run works on it.",
    on_hold: `It is on hold: ${say(REASONS, hold?.reason)}.${request.clock_paused_since ? " The legal clock stands still." : " The legal clock runs on."}`,
    needs_decision: "The tests rejected every try. A person has to decide what becomes of it.",
    failed: `A run failed${failed ? `: ${say(ERRORS, failed)}` : ""}. A person has to decide what becomes of it.`,
    completed: `${OUTCOMES[outcome] ?? "Completed"}${reason_code ? `: ${say(REASONS, reason_code)}` : ""}.`,
    cancelled: "It was cancelled. Nothing was unlearned for it.",
    refused: `It was refused: ${say(REASONS, reason_code)}.`,
  };
  const again =
    request.reopened_at &&
    state !== "completed" &&
    ` The case was completed before, and opened again: ${say(REOPENINGS, request.reopened_for)}.`;
  return [words[state] ?? plain(state), again];
}

function approval({ asked, approved_at }) {
  const who = asked === "four_eyes" ? "two persons have to agree" : "somebody has to agree";
  return approved_at ? ["given ", time(approved_at)] : who;
}

function actions(request, again) {
  const able = possible(request.state);
  const ended = !ACTIONS.some((one) => one.from.includes(request.state));
  if (able.length === 0)
    return ended
      ? null
      : h(
          "p",
          { class: "hint" },
          "Your key only reads: deciding needs ",
          h("code", null, "requests:decide"),
          ", cancelling ",
          h("code", null, "requests:write"),
          ".",
        );
  return h(
    "div",
    { class: "row actions" },
    able.map((action) =>
      h(
        "button",
        {
          type: "button",
          key: action.id,
          class: action.danger && "danger",
          on: { click: () => askFor(action, request, again) },
        },
        action.name,
      ),
    ),
    !can("requests:decide") &&
      h(
        "span",
        { class: "hint" },
        "Deciding needs the scope ",
        h("code", null, "requests:decide"),
        ".",
      ),
  );
}

function askFor(action, request, again) {
  ask({
    title: `${action.name}: ${request.external_id ?? "this request"}`,
    what: h("p", null, action.what),
    fields: action.fields(),
    action: action.name,
    danger: action.danger,
    submit: async (values) => {
      await carryOut(action, request.id, await action.body(values));
      again();
    },
  });
}
