/** The five figures that a reader of a report looks at first. */

import { h } from "./h.js";
import { interval, number, percent } from "./number.js";
import { table } from "./table.js";
import { term } from "./term.js";

/** @param {any} page as in a certificate and in `GET /runs/{id}` */
export function firstPageTable(page) {
  const rows = [
    {
      key: "margin",
      term: term("margin", "Samples"),
      before: `${page.n_f} forget`,
      after: `${page.n_u} unseen`,
      sure: `can prove a margin of ${number(page.provable_margin)}`,
    },
    {
      key: "auc",
      term: term("auc"),
      before: number(page.auc_before),
      after: number(page.auc_after),
      sure: `90 % ${interval(page.auc_low, page.auc_high)}, margin proved ${number(page.margin_proved)}`,
    },
    {
      key: "band",
      term: term("band"),
      before: number(page.band_before),
      after: number(page.band_after),
      sure: `95 % upper bound ${number(page.band_upper)}`,
    },
    {
      key: "rf_jsd",
      term: term("rf_jsd"),
      before: number(page.rf_jsd_before, 4),
      after: number(page.rf_jsd_after, 4),
      sure: `same-model p ${number(page.same_model_p)}`,
    },
    {
      key: "accuracy",
      term: term("accuracy"),
      before: percent(page.accuracy_before),
      after: percent(page.accuracy_after),
      sure: `${points(page.accuracy_change)} points, 95 % [${points(page.accuracy_change_low)}, ${points(page.accuracy_change_high)}]`,
    },
  ];
  return table({
    caption: "The five figures of the first page",
    rows,
    key: (row) => row.key,
    columns: [
      { name: "Figure", head: true, cell: (row) => row.term },
      { name: "Before", number: true, cell: (row) => row.before },
      { name: "After", number: true, cell: (row) => row.after },
      { name: "How sure", cell: (row) => h("span", { class: "number" }, row.sure) },
    ],
  });
}

function points(share) {
  if (share === null || share === undefined) return "–";
  return `${share >= 0 ? "+" : ""}${(100 * share).toFixed(1)}`;
}
