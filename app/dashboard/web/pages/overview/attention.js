/** The one sentence that matters, and what waits for a person. */

import { say, ERRORS } from "../../words.js";
import { icon } from "../../parts/badge.js";
import { h, link } from "../../parts/h.js";
import { idLink } from "../../parts/id.js";
import { time } from "../../parts/time.js";

const PERSON = {
  awaiting_approval: "awaiting approval",
  needs_decision: "waiting for a decision",
  failed: "waiting for a decision after a failure",
};

/** @param {any} overview */
export function headline({ requests, workers, queue, paused, audit }) {
  const able = workers.some((one) => one.alive && one.role !== "ops");
  if (audit.rewound)
    return line(
      "bad",
      "The audit log does not continue what was signed. Nothing is signed until a person has looked.",
    );
  if (requests.overdue > 0)
    return line("bad", `${count(requests.overdue, "request is", "requests are")} late.`);
  if (paused)
    return line(
      "bad",
      "No run begins: the service was restored, and waits until a person says go.",
    );
  if (queue.waiting_items > 0 && !able)
    return line("bad", "Requests wait, and no worker that could do them is alive.");
  const first = requests.next_due[0];
  const until = first ? [" The next is due ", time(first.due_at, { form: "relative" }), "."] : [];
  if (requests.due_soon > 0)
    return line(
      "warn",
      `No request is late, and ${count(requests.due_soon, "is", "are")} due within a week.`,
      ...until,
    );
  if (requests.open === 0) return line("good", "No request is open.");
  return line("good", "No request is late or due within a week.", ...until);
}

function line(level, ...text) {
  return h(
    "p",
    { class: "verdict-line", data: { level } },
    icon({ bad: "bad", warn: "person", good: "good" }[level]),
    h("span", null, text),
  );
}

/** @param {number} number @param {string} one @param {string} many */
function count(number, one, many) {
  return `${number} ${number === 1 ? one : many}`;
}

/** @param {any} overview @returns {HTMLElement | null} nothing, if nobody is waited for */
export function attention({ requests, paused_models, callbacks, runs, workers }) {
  const found = [
    ...Object.entries(PERSON)
      .filter(([state]) => requests.by_state[state] > 0)
      .map(([state, words]) => [
        h(
          "a",
          { href: link("requests", { state }) },
          count(requests.by_state[state], "request is ", "requests are ") + words,
        ),
        ".",
      ]),
    ...paused_models.map((one) => [
      "The runs of ",
      idLink(one.id, one.name),
      ` keep failing: ${say(ERRORS, one.reason)}. None begins before `,
      time(one.until),
      ".",
    ]),
    ...runs
      .filter((one) => one.lease_lapsed)
      .map((one) => [
        "The worker of ",
        idLink(one.id),
        " fell silent. Another will take the run over.",
      ]),
    ...workers
      .filter((one) => !one.alive)
      .map((one) => [
        "The worker ",
        h("strong", null, one.name),
        " was last heard of ",
        time(one.last_heard_at, { form: "relative" }),
        ".",
      ]),
    ...(callbacks.failed > 0
      ? [
          [
            count(callbacks.failed, "message", "messages"),
            " to receivers ",
            callbacks.failed === 1 ? "was" : "were",
            " given up. They can be sent again.",
          ],
        ]
      : []),
  ];
  if (found.length === 0) return null;
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Needs attention"),
    h(
      "ul",
      { class: "list" },
      found.map((one) => h("li", null, h("p", null, one))),
    ),
  );
}
