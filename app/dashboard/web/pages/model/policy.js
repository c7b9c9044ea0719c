/** What the owner of a model decided, in sentences, and as the API has it. */

import { APPROVALS, LADDER, METHODS, MODES } from "../../words/runs.js";
import { say } from "../../words.js";
import { h } from "../../parts/h.js";
import { counted, percent } from "../../parts/number.js";
import { length } from "../../parts/time.js";
import { explained } from "../../parts/term.js";

/** @param {any} model */
export function policyCard({ policy, training_recipe: recipe }) {
  return h(
    "section",
    { class: "card" },
    explained("policy"),
    h(
      "ul",
      { class: "plain" },
      sentences(policy, recipe).map((one) => h("li", null, one)),
    ),
    h(
      "details",
      { class: "fold below" },
      h("summary", null, "As the API has it"),
      h("pre", { tabindex: "0" }, JSON.stringify(policy, null, 2)),
    ),
  );
}

/** @param {any} policy @param {any | null} recipe @returns {string[]} */
export function sentences(policy, recipe) {
  const { verification: tests } = policy;
  return [
    `Unlearned with ${say(METHODS, policy.method)}${policy.method === "lotus" ? `, ${say(MODES, policy.mode)}` : ""}${Object.keys(policy.settings).length > 0 ? ", with settings of its own" : ""}.`,
    say(APPROVALS, policy.approval),
    policy.coalesce_seconds === null
      ? "How long requests wait for others to share a run is the service's own setting."
      : `Requests wait ${length(policy.coalesce_seconds)} for others to share a run.`,
    ladder(policy.ladder, recipe),
    policy.rollback_days === 0
      ? "A new version cannot be taken back: cases close at once."
      : `A new version can be taken back for ${counted(policy.rollback_days, "day")}; then cases close and what they no longer need is destroyed.`,
    `While cases are open the current version's file is compared with its digest every ${policy.recheck_days === 1 ? "day" : `${policy.recheck_days} days`}.`,
    `Within margin means: every attack AUC within ${tests.delta_auc} of 0.5, and a band advantage of at most ${tests.delta_band}.`,
    `Accuracy on unseen data may fall by at most ${percent(tests.max_accuracy_fall)}, or the run is rejected.`,
    `Findings are tested at level ${tests.alpha}, less after retries and with many runs.`,
  ];
}

function ladder(steps, recipe) {
  const possible = steps.filter((one) => one !== "retrain" || recipe);
  if (possible.length === 0) return "If the tests reject a run, a person decides.";
  return `If the tests reject a run, there follows ${possible.map((one) => say(LADDER, one)).join(", then ")}; at last a person decides.`;
}
