/** Every figure of the report, before and after. */

import { h } from "../../parts/h.js";
import { firstPageTable } from "../../parts/first_page.js";
import { interval, number, percent } from "../../parts/number.js";
import { table } from "../../parts/table.js";
import { term } from "../../parts/term.js";
import { ATTACKS } from "../../words/runs.js";

/** @param {any} run with metrics */
export function figuresCard({ metrics }) {
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Figures"),
    h("div", null, firstPageTable(firstPage(metrics))),
    h(
      "details",
      { class: "fold below" },
      h("summary", null, "Further figures"),
      table({
        caption: "Further figures",
        rows: further(metrics),
        key: (row) => row.key,
        columns: [
          { name: "Figure", head: true, cell: (row) => row.name },
          { name: "Before", number: true, cell: (row) => row.before },
          { name: "After", number: true, cell: (row) => row.after },
          { name: "How sure", cell: (row) => h("span", { class: "number" }, row.sure) },
        ],
      }),
    ),
  );
}

/** The same choice as `app/erasure/first_page.py`. @param {any} report */
export function firstPage(report) {
  const { sizes, scores, band, rf_jsd: jsd, accuracy, utility } = report;
  const [low, high] = scores?.phi.after.interval_90 ?? [null, null];
  const minus = (value) => (value === null || value === undefined ? null : -value);
  return {
    n_f: sizes.n_f,
    n_u: sizes.n_u,
    provable_margin: sizes.delta_plan,
    auc_before: scores?.phi.before.auc,
    auc_after: scores?.phi.after.auc,
    auc_low: low,
    auc_high: high,
    margin_proved: scores?.phi.after.margin_proved,
    band_before: band?.before.advantage,
    band_after: band?.after.advantage,
    band_upper: band?.after.upper_95,
    rf_jsd_before: jsd?.before,
    rf_jsd_after: jsd?.value,
    same_model_p: jsd?.same_after?.p_up,
    accuracy_before: accuracy?.test?.before.value,
    accuracy_after: accuracy?.test?.after.value,
    accuracy_change: minus(utility?.fall),
    accuracy_change_low: minus(utility?.high),
    accuracy_change_high: minus(utility?.low),
  };
}

const SETS = { forget: "forget", retain: "retain", validation: "validation", test: "accuracy" };
const SET_NAMES = {
  forget: "Accuracy, forget set",
  retain: "Accuracy, retain set",
  validation: "Accuracy, validation set",
  test: "Accuracy, unseen test set",
};

function further(report) {
  const { scores, kuiper, learned_attack: learned, stability_attack: stability } = report;
  return [
    ...["margin", "neg_entropy"]
      .filter((one) => scores?.[one])
      .map((one) => ({
        key: one,
        name: term(one === "margin" ? "margin_auc" : one, `AUC, ${ATTACKS[one]}`),
        before: number(scores[one].before.auc),
        after: number(scores[one].after.auc),
        sure: `90 % ${interval(...scores[one].after.interval_90)}`,
      })),
    kuiper && {
      key: "kuiper",
      name: term("kuiper"),
      before: number(kuiper.before.statistic),
      after: number(kuiper.after.statistic),
      sure: `p ${p(kuiper.before.p_value)} before, ${p(kuiper.after.p_value)} after`,
    },
    learned && {
      key: "learned",
      name: term("learned_attack"),
      before: number(learned.before.auc),
      after: number(learned.after.auc),
      sure: `AUC; p ${p(learned.before.p_value)} before, ${p(learned.after.p_value)} after`,
    },
    stability && {
      key: "stability",
      name: term("stability_attack"),
      before: number(stability.before.advantage),
      after: number(stability.after.advantage),
      sure: `advantage; p ${p(stability.before.p_value)} before, ${p(stability.after.p_value)} after`,
    },
    report.rf_jsd?.same_after && {
      key: "same",
      name: term("same_model", "RF-JSD of one model, nats"),
      before: number(report.rf_jsd.same_before?.value, 4),
      after: number(report.rf_jsd.same_after.value, 4),
      sure: `p ${p(report.rf_jsd.same_before?.p_up)} before, ${p(report.rf_jsd.same_after.p_up)} after`,
    },
    ...Object.keys(SETS)
      .filter((one) => report.accuracy?.[one])
      .map((one) => accuracy(one, report.accuracy[one])),
    report.membership_inference && {
      key: "mia",
      name: term("membership_inference"),
      before: percent(report.membership_inference.before.member_fraction),
      after: percent(report.membership_inference.after.member_fraction),
      sure: "called trained on; decides nothing",
    },
  ].filter(Boolean);
}

function accuracy(set, { before, after }) {
  return {
    key: set,
    name: term(SETS[set], SET_NAMES[set]),
    before: percent(before.value),
    after: percent(after.value),
    sure: `95 % [${percent(after.low)}, ${percent(after.high)}], ${after.n} samples`,
  };
}

function p(value) {
  if (value === null || value === undefined) return "–";
  return value < 0.001 ? "< 0.001" : value.toFixed(3);
}
