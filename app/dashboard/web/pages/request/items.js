/** The request on each model: state, run, the person's own figures, and decisions that it waits for. */

import { ERRORS, plain, REASONS, REOPENINGS, say } from "../../words.js";
import { badge, mark, verdictBadge } from "../../parts/badge.js";
import { fact, facts } from "../../parts/facts.js";
import { h } from "../../parts/h.js";
import { idLink } from "../../parts/id.js";
import { counted, interval, number } from "../../parts/number.js";
import { progressOf } from "../../parts/progress.js";
import { can } from "../../parts/session.js";
import { empty } from "../../parts/states.js";
import { term } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { askWhatToDo } from "./deciding.js";

/** @param {any} request @param {Record<string, any>} runs by id @param {() => void} again */
export function itemsCard(request, runs, again) {
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Models"),
    request.items.length === 0
      ? empty(
          request.reason_code
            ? `No model is concerned: ${say(REASONS, request.reason_code)}.`
            : "No model is concerned.",
        )
      : h(
          "ul",
          { class: "list" },
          request.items.map((item) =>
            h("li", { key: item.id }, itemView(item, request, runs[item.run], again)),
          ),
        ),
  );
}

function itemView(item, request, run, again) {
  const waits = ["needs_decision", "failed"].includes(item.state);
  return [
    h(
      "div",
      { class: "between" },
      h("h3", null, idLink(item.model, item.model_name)),
      h("div", { class: "row" }, run?.verdict && verdictBadge(run.verdict.name), badge(item.state)),
    ),
    run && runOf(run),
    item.error_class &&
      h("p", { class: "late" }, `The run failed: ${say(ERRORS, item.error_class)}.`),
    waits && decisionRow(item, request, again),
    facts(
      fact(term("run"), idLink(item.run)),
      fact(term("forget"), h("span", { class: "number" }, item.forget_count)),
      fact(term("held_out"), h("span", { class: "number" }, item.held_out_count)),
      item.published_at && fact("Published", time(item.published_at)),
      item.reopened_at &&
        fact("Opened again", time(item.reopened_at), `: ${say(REOPENINGS, item.reopened_for)}`),
      item.relapses > 0 &&
        fact(term("relapse", "Relapses"), h("span", { class: "number" }, item.relapses)),
      item.last_recheck && fact(term("recheck", "Last re-check"), recheck(item.last_recheck)),
    ),
    item.numbers && ownFigures(item.numbers),
  ];
}

/** How far the run is, or what its tests showed. */
function runOf(run) {
  if (["running", "verifying", "publishing"].includes(run.state)) return progressOf(run);
  return run.verdict?.sentence ? h("p", null, run.verdict.sentence) : null;
}

function decisionRow(item, request, again) {
  if (request.state === "on_hold")
    return h("p", { class: "hint" }, "Nothing of it is decided while the request is on hold.");
  if (!can("requests:decide"))
    return h(
      "p",
      { class: "hint" },
      "Deciding needs the scope ",
      h("code", null, "requests:decide"),
      ".",
    );
  return h(
    "div",
    { class: "row actions" },
    h(
      "button",
      { type: "button", class: "primary", on: { click: () => askWhatToDo(item, request, again) } },
      "Decide",
    ),
  );
}

function recheck({ state, skipped, relapsed, change, finished_at }) {
  if (skipped) return `not possible: ${plain(skipped)}`;
  if (state !== "done") return plain(state);
  return [
    relapsed ? mark("relapsed", "bad") : mark("holds", "good"),
    change === null ? "" : ` change ${number(change)}, `,
    time(finished_at, { form: "relative" }),
  ];
}

/** What the run measured on this person alone. It decided nothing. */
function ownFigures(numbers) {
  if (numbers.covered)
    return h(
      "p",
      { class: "hint" },
      "An earlier run has worked on these samples already, so that they have no figures of their own.",
    );
  const { n, mean_before, mean_after, range_low, range_high, flagged, excluded } = numbers;
  if (mean_after === undefined || mean_after === null)
    return h(
      "p",
      { class: "hint" },
      `The run gave no figures for this person alone${numbers.samples ? ` (${counted(numbers.samples, "sample")})` : ""}.`,
    );
  return h(
    "div",
    { class: "own" },
    h(
      "p",
      { class: "hint" },
      `This person alone, ${counted(n, "sample")}${excluded > 0 ? `, ${excluded} left out` : ""}. These figures decided nothing; the verdict is of the whole run.`,
    ),
    facts(
      fact(term("place", "Mean place before"), h("span", { class: "number" }, number(mean_before))),
      fact("Mean place after", h("span", { class: "number" }, number(mean_after))),
      fact(
        "Range of a person never trained on",
        h("span", { class: "number" }, interval(range_low, range_high)),
      ),
      fact(
        term("flagged", "In that range"),
        flagged ? mark("outside", "person") : mark("inside", "good"),
      ),
    ),
  );
}
