/** What followed from the tests, and why. The service writes its reasons in plain words. */

import { VERDICTS, plain, say } from "../../words.js";
import { ATTACKS, STEPS } from "../../words/runs.js";
import { mark, verdictBadge } from "../../parts/badge.js";
import { fact, facts } from "../../parts/facts.js";
import { h } from "../../parts/h.js";
import { number, percent } from "../../parts/number.js";
import { explained, term } from "../../parts/term.js";

/** @param {any} run with a verdict */
export function verdictCard({ verdict }) {
  const means = VERDICTS[verdict.name]?.[2];
  return h(
    "section",
    { class: "card" },
    explained("verdict"),
    h(
      "div",
      { class: "row" },
      verdictBadge(verdict.name),
      verdict.publish ? mark("published", "good") : mark("held back by the tests", "person"),
      verdict.utility_held === false && mark("accuracy fell too far", "bad"),
    ),
    h("p", { class: "lead" }, verdict.sentence),
    means && h("p", { class: "hint" }, `${first(verdict.name)}: ${means}`),
    h("h3", { class: "below" }, "What decided"),
    h(
      "ul",
      { class: "plain" },
      verdict.reasons.map((one) => h("li", null, clause(one))),
    ),
    h("h3", { class: "below" }, "Attacks that still tell the samples from unseen ones"),
    verdict.tells_apart.length === 0
      ? h("p", null, "None of those that were tried.")
      : h(
          "ul",
          { class: "plain" },
          verdict.tells_apart.map((one) => h("li", null, say(ATTACKS, one))),
        ),
    verdict.next && next(verdict.next),
    verdict.policy && margins(verdict),
  );
}

function first(name) {
  const words = VERDICTS[name]?.[0] ?? plain(name);
  return words[0].toUpperCase() + words.slice(1);
}

/** A clause begins with a small letter where the service puts it in the middle of a sentence. */
function clause(text) {
  return text[0].toUpperCase() + text.slice(1);
}

/** The rung above, and why it was chosen. A reason may begin with the code of its step. */
function next({ step, reasons }) {
  return [
    h("h3", { class: "below" }, "What comes next"),
    h("p", null, step ? `Another run: ${say(STEPS, step)}.` : "A person decides."),
    h(
      "ul",
      { class: "plain" },
      (reasons ?? []).map((one) => h("li", null, clause(stepInWords(one)))),
    ),
  ];
}

function stepInWords(text) {
  const [code, ...rest] = text.split(": ");
  return STEPS[code] && rest.length > 0 ? `${STEPS[code]}: ${rest.join(": ")}` : text;
}

function margins({ policy, rung, runs_in_30_days: runs }) {
  return h(
    "details",
    { class: "fold below" },
    h("summary", null, "Margins and levels that were used"),
    facts(
      fact(term("delta_auc"), h("span", { class: "number" }, number(policy.delta_auc, 2))),
      fact(term("delta_band"), h("span", { class: "number" }, number(policy.delta_band, 2))),
      fact(term("max_accuracy_fall"), percent(policy.max_accuracy_fall)),
      fact(term("alpha"), h("span", { class: "number" }, policy.alpha)),
      fact(term("band_alpha"), h("span", { class: "number" }, policy.band_alpha)),
      fact(term("rung"), h("span", { class: "number" }, rung)),
      fact(term("runs_counted"), h("span", { class: "number" }, runs)),
    ),
  );
}
