/** What a run works on, how far it is, and why it ended without a verdict. */

import { ERRORS, say } from "../../words.js";
import { METHODS, MODES, PHASES, STEPS } from "../../words/runs.js";
import { sentence } from "../../words/audit.js";
import { fact, facts } from "../../parts/facts.js";
import { h } from "../../parts/h.js";
import { copyable, idLink } from "../../parts/id.js";
import { counted } from "../../parts/number.js";
import { term } from "../../parts/term.js";
import { length, time } from "../../parts/time.js";

/** @param {any} run @param {any | null} model */
export function standing(run, model) {
  return h(
    "section",
    { class: "card" },
    h("h2", null, "What it is"),
    inProgress(run),
    facts(
      fact("Run", h("span", { class: "id" }, run.id), " ", copyable(run.id, "the run's id")),
      fact("Model", idLink(run.model, model?.name)),
      fact(
        "Versions",
        `from ${run.base_number}`,
        run.published_version ? `, made ${run.published_version.number}` : "",
      ),
      fact("Requests", requests(run)),
      fact("Method", say(METHODS, run.method)),
      fact("Mode", say(MODES, run.mode)),
      fact(term("step"), say(STEPS, run.step)),
      fact(term("rung"), h("span", { class: "number" }, run.rung)),
      fact(term("attempt"), h("span", { class: "number" }, run.attempt)),
      fact(term("seed"), h("span", { class: "number" }, run.seed)),
      fact("Device", run.device ?? "–"),
      fact("Formed", time(run.created_at, { form: "precise" })),
      fact(term("started"), time(run.started_at, { form: "precise" })),
      fact("Ended", time(run.finished_at, { form: "precise" }), took(run)),
    ),
  );
}

function took({ started_at, finished_at }) {
  if (!started_at || !finished_at) return "";
  return `, after ${length((Date.parse(finished_at) - Date.parse(started_at)) / 1000)}`;
}

function requests(run) {
  return h(
    "ul",
    { class: "inline" },
    run.requests.map((one) => h("li", { key: one.item }, idLink(one.id, one.external_id))),
  );
}

function inProgress({ state, progress, attempt }) {
  if (state === "queued")
    return h(
      "p",
      { class: "lead" },
      attempt > 0 ? "It waits to be started again." : "It waits for a free worker.",
    );
  if (!["running", "verifying", "publishing"].includes(state) || !progress) return null;
  const { phase, epoch, planned_epochs: all } = progress;
  const words = say(PHASES, phase);
  if (!epoch || !all) return h("p", { class: "lead" }, `Now: ${words}.`);
  const of = `${words}, epoch ${epoch} of at most ${all}`;
  return h(
    "div",
    { class: "progress below-gap" },
    h("progress", { max: all, value: epoch, "aria-label": of }),
    h("span", { class: "hint" }, of),
  );
}

/**
 * @param {any} run
 * @param {any[] | null} moves entries of the log about this run, newest first
 * @returns {HTMLElement | null} nothing for runs with a verdict or in progress
 */
export function ending(run, moves) {
  if (run.state === "failed")
    return h(
      "p",
      { class: "verdict-line", data: { level: "bad" } },
      h(
        "span",
        null,
        `The run failed: ${say(ERRORS, run.error_class) || "it is not known why"}.`,
        run.error_detail ? ` ${run.error_detail}` : "",
        ` It was started ${counted(run.attempt, "time")}.`,
      ),
    );
  if (run.state !== "superseded")
    return run.error_class && run.state !== "succeeded" ? failedBefore(run) : null;
  const why = moves?.find((one) => one.facts.to_state === "superseded");
  return h(
    "div",
    { class: "card" },
    h(
      "p",
      { class: "lead" },
      "This run was superseded: it ended without publishing, and what it worked on goes on in another run or is no longer asked for.",
    ),
    h(
      "p",
      { class: "hint" },
      why
        ? `The log says: ${sentence(why)}.`
        : "That happens if another version was published meanwhile, or if a request in it was cancelled, refused or put on hold.",
    ),
  );
}

function failedBefore(run) {
  return h(
    "p",
    { class: "hint" },
    `The attempt before failed: ${say(ERRORS, run.error_class)}.`,
    run.error_detail ? ` ${run.error_detail}` : "",
  );
}

/** @param {any} run */
export function settingsCard(run) {
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Settings"),
    run.config
      ? h(
          "details",
          { class: "fold" },
          h("summary", null, "Every setting as the run used it"),
          h("pre", { tabindex: "0" }, JSON.stringify(run.config, null, 2)),
        )
      : h("p", { class: "state empty" }, "They are known once the run has started."),
  );
}
