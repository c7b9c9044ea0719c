/** Workers and runs. */

import { plain } from "../../words.js";
import { badge, mark, verdictBadge } from "../../parts/badge.js";
import { h } from "../../parts/h.js";
import { idLink } from "../../parts/id.js";
import { progressOf } from "../../parts/progress.js";
import { empty } from "../../parts/states.js";
import { term } from "../../parts/term.js";
import { time } from "../../parts/time.js";

const ROLES = { gpu: "unlearns", ops: "signs, delivers, sweeps", local: "does everything" };

/** @param {any[]} workers @param {any[]} runs */
export function workersCard(workers, runs) {
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Workers"),
    workers.length === 0
      ? empty("No worker was heard of in the last day. Nothing is unlearned without one.")
      : h(
          "ul",
          { class: "list" },
          workers.map((one) =>
            worker(
              one,
              runs.find((run) => run.id === one.current_run),
            ),
          ),
        ),
  );
}

function worker(one, run) {
  return h(
    "li",
    { key: one.name },
    h(
      "div",
      { class: "between" },
      h("strong", null, one.name),
      one.alive
        ? mark(one.current_run || run ? "at work" : "alive", one.current_run ? "active" : "good")
        : mark("silent", "bad"),
    ),
    h(
      "p",
      { class: "hint" },
      [one.device, ROLES[one.role] ?? plain(one.role)].filter(Boolean).join(" · "),
    ),
    one.current_run &&
      h("p", null, idLink(one.current_run, run ? `${run.model_name}, ${plain(run.state)}` : null)),
    run && progressOf(run),
  );
}

/** @param {any[]} runs @param {any} queue */
export function liveRuns(runs, queue) {
  const waiting =
    queue.waiting_items > 0 &&
    h(
      "p",
      { class: "hint" },
      `${queue.waiting_items} more ${queue.waiting_items === 1 ? "item waits" : "items wait"} for ${queue.waiting_models} ${queue.waiting_models === 1 ? "model" : "models"}`,
      queue.expected_completion_at && [
        ", expected to be done ",
        time(queue.expected_completion_at, { form: "relative" }),
      ],
      ".",
    );
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Runs in progress"),
    runs.length === 0
      ? empty("No run is in progress.")
      : h(
          "ul",
          { class: "list" },
          runs.map((one) =>
            h(
              "li",
              { key: one.id },
              h("div", { class: "between" }, idLink(one.id, one.model_name), badge(one.state)),
              progressOf(one),
              h(
                "p",
                { class: "hint" },
                `${plain(one.method)}, ${plain(one.mode)}`,
                one.rung > 0 && `, after ${one.rung} rejected`,
                one.attempt > 1 && `, attempt ${one.attempt}`,
                one.expected_end_at && [
                  ", expected to end ",
                  time(one.expected_end_at, { form: "relative" }),
                ],
              ),
            ),
          ),
        ),
    waiting,
  );
}

/** @param {any[]} runs newest first */
export function lastRuns(runs) {
  return h(
    "section",
    { class: "card" },
    h(
      "div",
      { class: "title" },
      h("h2", null, "Last runs"),
      h("div", { class: "hint" }, term("verdict")),
    ),
    runs.length === 0
      ? empty("No run has ended yet.")
      : h(
          "ul",
          { class: "list" },
          runs.map((one) =>
            h(
              "li",
              { key: one.id },
              h(
                "div",
                { class: "between" },
                idLink(one.id, one.model_name),
                h(
                  "span",
                  { class: "row" },
                  one.state === "succeeded" ? "published" : badge(one.state),
                  one.verdict && verdictBadge(one.verdict),
                ),
              ),
              h(
                "p",
                { class: "hint" },
                `${plain(one.method)}, ${plain(one.mode)}, ended `,
                time(one.finished_at, { form: "relative" }),
              ),
            ),
          ),
        ),
  );
}
