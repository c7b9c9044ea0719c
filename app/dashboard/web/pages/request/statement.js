/** What a certificate states, laid out to be read. */

import { OUTCOMES, plain, REASONS, REGULATIONS, REOPENINGS, say } from "../../words.js";
import { badge, verdictBadge } from "../../parts/badge.js";
import { fact, facts } from "../../parts/facts.js";
import { h } from "../../parts/h.js";
import { idLink } from "../../parts/id.js";
import { firstPageTable } from "../../parts/first_page.js";
import { counted } from "../../parts/number.js";
import { time } from "../../parts/time.js";

const TIMES = [
  ["submitted", "The person asked"],
  ["received", "Received"],
  ["due", "Due"],
  ["extended_due", "Due, extended"],
  ["completed", "Completed"],
];

/** @param {any} statement in-toto, v1 */
export function statementView(statement) {
  const { predicate } = statement;
  return h(
    "div",
    { class: "statement" },
    h("p", { class: "lead" }, `${OUTCOMES[predicate.outcome] ?? plain(predicate.outcome)}.`),
    facts(
      fact("Outcome", plain(predicate.outcome)),
      predicate.reason_code && fact("Reason", say(REASONS, predicate.reason_code)),
      predicate.cause && fact("Opened again because", say(REOPENINGS, predicate.cause)),
      fact("Law", say(REGULATIONS, predicate.regulation)),
      TIMES.filter(([name]) => predicate.times[name]).map(([name, shown]) =>
        fact(shown, time(predicate.times[name])),
      ),
      predicate.replaces &&
        fact("Replaces", h("span", { class: "id" }, predicate.replaces.certificate)),
    ),
    (predicate.models ?? []).filter((one) => one.attempts).map(modelView),
    listed(
      "Not unlearned",
      (predicate.not_unlearned ?? []).map(
        (one) =>
          `${one.name}: ${counted(one.training_count, "training sample")} in version ${one.current.number}`,
      ),
    ),
    listed(
      "Searched",
      (predicate.searched ?? []).map((one) => [
        "dataset ",
        h("span", { class: "id" }, one.dataset),
        `, by ${one.identity_types.map(plain).join(", ")}`,
      ]),
    ),
    listed(
      "Destruction",
      predicate.destruction.map((one) => [
        `${plain(one.what)}: ${one.state} `,
        time(one.at),
        one.count !== null && one.count !== undefined && `, ${one.count}`,
      ]),
    ),
    listed("What it states", predicate.claims),
    listed("Its limits", predicate.limits),
    h(
      "details",
      { class: "fold" },
      h("summary", null, "The whole statement"),
      h("pre", { tabindex: "0" }, JSON.stringify(statement, null, 2)),
    ),
  );
}

function listed(name, entries) {
  if (entries.length === 0) return null;
  return [
    h("h3", null, name),
    h(
      "ul",
      { class: "plain" },
      entries.map((one) => h("li", null, one)),
    ),
  ];
}

function modelView(model) {
  const last = model.attempts.at(-1);
  return h(
    "section",
    { class: "inner" },
    h("div", { class: "between" }, h("h3", null, model.name), verdictBadge(model.verdict)),
    h("p", null, model.verdict_sentence),
    facts(
      fact(
        "Version before",
        `${model.base.number}, `,
        h("span", { class: "id", title: model.base.sha256 }, model.base.sha256.slice(0, 16)),
      ),
      fact(
        "Version published",
        `${model.published.number}, `,
        h(
          "span",
          { class: "id", title: model.published.sha256 },
          model.published.sha256.slice(0, 16),
        ),
      ),
      fact("Samples in the run", model.forget_set.count),
      fact("Of this request", model.own.commitment.count),
    ),
    last.first_page && firstPageTable(last.first_page),
    h("h4", null, "Attempts"),
    h(
      "ul",
      { class: "plain" },
      model.attempts.map((one) =>
        h(
          "li",
          null,
          idLink(one.run),
          ` ${plain(one.method)}, ${plain(one.mode)}, rung ${one.rung}: `,
          badge(one.state),
          one.verdict && [" ", verdictBadge(one.verdict)],
        ),
      ),
    ),
  );
}
