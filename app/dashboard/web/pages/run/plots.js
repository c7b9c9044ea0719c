/** What can be drawn beside the figures: entropy, ROC curves, RF-JSD beside its null. They decide
 *  nothing. */

import { REFERENCE, SECOND_REFERENCE } from "../../charts/figure.js";
import { side } from "../../charts/charts.js";
import { h } from "../../parts/h.js";
import { number, percent } from "../../parts/number.js";
import { empty } from "../../parts/states.js";
import { term } from "../../parts/term.js";
import { ATTACKS } from "../../words/runs.js";

/**
 * @param {any} run
 * @param {{ data?: any, refusal?: Error } | null} found
 * @param {import("../../charts/charts.js").Charts} charts
 * @param {boolean} ended
 */
export function plotsCard(run, found, charts, ended) {
  if (!found?.data)
    return h(
      "section",
      { class: "card" },
      h("h2", null, "Tests"),
      empty(
        found?.refusal?.message ??
          (ended
            ? "The run ended without a verdict, so there is nothing to draw."
            : "Drawn once the tests are done."),
      ),
    );
  const { entropy, roc, rf_jsd: jsd, reasons } = found.data;
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Tests"),
    h(
      "p",
      { class: "hint" },
      "The samples of the figures above. No drawing decides anything, and with few forget samples their shapes are mostly chance.",
    ),
    h("h3", { class: "below" }, "How unsure the answers are"),
    entropy
      ? side(entropyChart(entropy, charts, "before"), entropyChart(entropy, charts, "after"))
      : missing(reasons, "entropy"),
    h("h3", { class: "below" }, "Attack ROC curves"),
    roc
      ? side(...Object.keys(roc).map((one) => rocChart(one, roc[one], charts)))
      : missing(reasons, "roc"),
    h("h3", { class: "below" }, "RF-JSD beside what chance gives"),
    jsd
      ? side(nullChart(jsd.before, charts, "before"), nullChart(jsd.after, charts, "after"))
      : missing(reasons, "rf_jsd"),
  );
}

function missing(reasons, name) {
  return h(
    "p",
    { class: "hint" },
    `It cannot be drawn: ${reasons?.[name] ?? "no reason is given"}.`,
  );
}

/** A histogram as steps: the last value is held to the end of its bin. */
function outline(edges, shares, name, style) {
  return { name, x: edges, y: [...shares, shares.at(-1)], kind: "steps", style };
}

/** Bins beyond which nobody has a share worth seeing are left out, in both drawings alike. */
function until({ edges, forget_before, forget_after, unseen, unseen_after }) {
  const sets = [forget_before, forget_after, unseen, unseen_after];
  const last = sets[0].shares.findLastIndex((_, at) => sets.some((one) => one.shares[at] > 0));
  return edges[Math.min(last + 2, edges.length - 1)];
}

function mean({ shares }, edges) {
  return shares.reduce((sum, share, at) => sum + share * ((edges[at] + edges[at + 1]) / 2), 0);
}

function entropyChart(plot, charts, when) {
  const { edges } = plot;
  const forget = plot[`forget_${when}`];
  const others =
    when === "before"
      ? [outline(edges, plot.unseen.shares, "unseen samples", 2)]
      : [
          outline(edges, plot.unseen_after.shares, "unseen samples, new model", 2),
          outline(edges, plot.unseen.shares, "unseen samples, model before: the goal", REFERENCE),
        ];
  const beside = when === "before" ? plot.unseen : plot.unseen_after;
  const sets = [plot.forget_before, plot.forget_after, plot.unseen, plot.unseen_after];
  const highest = Math.max(...sets.flatMap((one) => one.shares));
  return charts.figure({
    key: `entropy-${when}`,
    title: term("entropy", when === "before" ? "Model before" : "New model"),
    summary: `Mean entropy ${number(mean(forget, edges))} nats on ${forget.size} forget samples and ${number(mean(beside, edges))} on ${beside.size} unseen ones, to the precision of the bars.`,
    spec: {
      x: { title: "entropy of the answer, nats", range: [0, until(plot)] },
      y: { title: "share of the samples", range: [0, highest * 1.08], format: ".0%" },
      series: [
        ...others,
        outline(edges, forget.shares, "forget samples", when === "before" ? 1 : 0),
      ],
    },
    columns: [
      "From, nats",
      "To",
      "Forget",
      ...(when === "before" ? ["Unseen"] : ["Unseen, new model", "Unseen, before"]),
    ],
    rows: () =>
      forget.shares.map((share, at) => [
        number(edges[at]),
        number(edges[at + 1]),
        percent(share),
        percent(beside.shares[at]),
        ...(when === "before" ? [] : [percent(plot.unseen.shares[at])]),
      ]),
  });
}

function rocChart(name, { before, after }, charts) {
  const curve = (one, shown, style) => ({
    name: `${shown}, AUC ${number(one.auc)}`,
    x: one.false_positive_rate,
    y: one.true_positive_rate,
    style,
  });
  return charts.figure({
    key: `roc-${name}`,
    title: term(SCORES[name] ?? "auc", capital(ATTACKS[name] ?? name)),
    summary: `AUC ${number(before.auc)} before and ${number(after.auc)} after; on the diagonal, 0.5, an attacker gains nothing. With 5 % mistakes he calls ${percent(calledAt(before, 0.05))} of the samples before and ${percent(calledAt(after, 0.05))} after.`,
    spec: {
      x: { title: "unseen samples called, share", range: [0, 1], format: ".0%", step: 0.25 },
      y: { title: "forget samples called, share", range: [0, 1.02], format: ".0%", step: 0.25 },
      series: [
        { name: "guessing, AUC 0.5", x: [0, 1], y: [0, 1], style: SECOND_REFERENCE },
        curve(before, "before", 1),
        curve(after, "after", 0),
      ],
    },
    columns: ["Model", "Unseen called", "Forget called"],
    rows: () => [...points("before", before), ...points("after", after)],
  });
}

const SCORES = { margin: "margin_auc", neg_entropy: "neg_entropy" };

function points(name, { false_positive_rate: x, true_positive_rate: y }) {
  return x.map((one, at) => [name, percent(one), percent(y[at])]);
}

/** The highest share that is reached with at most so many mistakes. */
function calledAt({ false_positive_rate: x, true_positive_rate: y }, mistakes) {
  return y[x.findLastIndex((one) => one <= mistakes)] ?? 0;
}

function nullChart({ value, p_up, permutations, edges, counts }, charts, when) {
  const top = Math.max(...counts) * 1.08;
  const width = edges[1] - edges[0];
  const low = Math.min(edges[0], value) - width;
  const high = Math.max(edges.at(-1), value) + width;
  return charts.figure({
    key: `rf-jsd-${when}`,
    title: term("same_model", when === "before" ? "Model before" : "New model"),
    summary: `RF-JSD is ${number(value, 4)} nats; of ${permutations} values with labels permuted, the share of those at least as large gives p ${number(p_up)}.`,
    spec: {
      x: { title: "RF-JSD of one model, nats", range: [low, high] },
      y: { title: "permuted values", range: [0, top] },
      series: [
        {
          name: "labels permuted",
          x: counts.map((_, at) => (edges[at] + edges[at + 1]) / 2),
          y: counts,
          kind: "bars",
          style: when === "before" ? 1 : 0,
        },
        { name: "true labels", x: [value, value], y: [0, top], style: REFERENCE },
      ],
    },
    columns: ["From, nats", "To", "Permuted values"],
    rows: () => counts.map((one, at) => [number(edges[at], 5), number(edges[at + 1], 5), one]),
  });
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}
