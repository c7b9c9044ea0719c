/** What each published run cost and brought, version by version. */

import { REFERENCE } from "../../charts/figure.js";
import { side } from "../../charts/charts.js";
import { h } from "../../parts/h.js";
import { number, percent } from "../../parts/number.js";
import { empty } from "../../parts/states.js";
import { term } from "../../parts/term.js";
import { firstPage } from "../run/figures.js";

/**
 * @param {any[]} versions newest first
 * @param {Map<string, any>} reports by version
 * @param {import("../../charts/charts.js").Charts} charts
 */
export function overVersionsCard(versions, reports, charts) {
  const rows = versions
    .filter((one) => one.published_at && reports.get(one.id))
    .map((one) => row(one, reports.get(one.id)))
    .reverse();
  return h(
    "section",
    { class: "card" },
    h("h2", null, "From version to version"),
    rows.length === 0
      ? empty("Drawn once a run has published a version.")
      : [
          h(
            "p",
            { class: "hint" },
            "Each run unlearned samples of other persons, so the figures of one version are no scale for those of another. Accuracy on unseen data is the one that adds up.",
          ),
          h(
            "div",
            { class: "below" },
            side(accuracyChart(rows, charts), aucChart(rows, charts), jsdChart(rows, charts)),
          ),
        ],
  );
}

function row(version, report) {
  const forget = report.accuracy?.forget;
  return {
    number: version.number,
    forget_before: forget?.before.value ?? null,
    forget_after: forget?.after.value ?? null,
    ...firstPage(report),
  };
}

function axes(rows, title, range, format) {
  return {
    x: {
      title: "version",
      range: [rows[0].number - 0.5, Math.max(rows.at(-1).number, rows[0].number + 1) + 0.5],
      whole: true,
    },
    y: { title, range, format },
  };
}

function line(rows, name, shown, style) {
  return {
    name: shown,
    x: rows.map((one) => one.number),
    y: rows.map((one) => one[name] ?? null),
    style,
  };
}

/** Of other persons each time: nothing leads from one to the next. */
function points(...of) {
  return { ...line(...of), kind: "points" };
}

function within(rows, names, least, low, high) {
  const values = rows.flatMap((one) => names.map((name) => one[name])).filter(Number.isFinite);
  const [from, to] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((to - from) * 0.1, (least - (to - from)) / 2);
  return [Math.max(from - room, low), Math.min(to + room, high)];
}

function accuracyChart(rows, charts) {
  const last = rows.at(-1);
  const names = ["accuracy_after", "forget_before", "forget_after"];
  return charts.figure({
    key: "accuracies",
    title: term("accuracies"),
    summary: `Version ${last.number} is right on ${percent(last.accuracy_after)} of unseen data and on ${percent(last.forget_after)} of the samples that its run unlearned.`,
    spec: {
      ...axes(rows, "accuracy", within(rows, names, 0.06, 0, 1.004), ".0%"),
      series: [
        line(rows, "accuracy_after", "unseen data", 0),
        points(rows, "forget_before", "forget set, before", 1),
        points(rows, "forget_after", "forget set, after", 2),
      ],
    },
    columns: ["Version", "Unseen, before", "Unseen", "Forget, before", "Forget, after"],
    rows: () =>
      rows.map((one) => [
        one.number,
        percent(one.accuracy_before),
        percent(one.accuracy_after),
        percent(one.forget_before),
        percent(one.forget_after),
      ]),
  });
}

function aucChart(rows, charts) {
  const last = rows.at(-1);
  const [low, high] = within(rows, ["auc_before", "auc_after"], 0.2, 0, 1);
  const x = axes(rows).x.range;
  return charts.figure({
    key: "aucs",
    title: term("auc"),
    summary: `For version ${last.number} it was ${number(last.auc_before)} before its run and ${number(last.auc_after)} after; 0.5 is the target.`,
    spec: {
      ...axes(rows, "attack AUC", [Math.min(low, 0.45), Math.max(high, 0.55)]),
      series: [
        points(rows, "auc_before", "before", 1),
        points(rows, "auc_after", "after", 0),
        { name: "target", x, y: [0.5, 0.5], style: REFERENCE },
      ],
    },
    columns: ["Version", "Before", "After"],
    rows: () => rows.map((one) => [one.number, number(one.auc_before), number(one.auc_after)]),
  });
}

function jsdChart(rows, charts) {
  const last = rows.at(-1);
  const [, high] = within(rows, ["rf_jsd_before", "rf_jsd_after"], 0.001, 0, Infinity);
  return charts.figure({
    key: "rf-jsd",
    title: term("rf_jsd"),
    summary: `For version ${last.number} it was ${number(last.rf_jsd_before, 4)} nats before its run and ${number(last.rf_jsd_after, 4)} after. It decides nothing.`,
    spec: {
      ...axes(rows, "RF-JSD, nats", [0, high]),
      series: [
        points(rows, "rf_jsd_before", "before", 1),
        points(rows, "rf_jsd_after", "after", 0),
      ],
    },
    columns: ["Version", "Before, nats", "After"],
    rows: () =>
      rows.map((one) => [one.number, number(one.rf_jsd_before, 4), number(one.rf_jsd_after, 4)]),
  });
}
