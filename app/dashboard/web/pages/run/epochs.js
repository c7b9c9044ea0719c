/** The curves that a run leaves while it unlearns. Where validation data chose the epoch, they show
 *  that choosing worked, and not how well the samples are unlearned. */

import { REFERENCE, SECOND_REFERENCE } from "../../charts/figure.js";
import { side } from "../../charts/charts.js";
import { h } from "../../parts/h.js";
import { counted, number, percent } from "../../parts/number.js";
import { term } from "../../parts/term.js";
import { say } from "../../words.js";
import { METHODS } from "../../words/runs.js";

const FLAT = 1e-9;

/** @param {any} run @param {import("../../charts/charts.js").Charts} charts */
export function epochsCard({ epochs, mode, method, finished_at }, charts) {
  const kept = epochs.findLast((one) => one.best)?.number ?? null;
  const uncalibrated = epochs.at(-1).uncalibrated_samples;
  return h(
    "section",
    { class: "card" },
    h("h2", null, "Epochs"),
    h(
      "p",
      { class: "hint" },
      `${counted(epochs.length, "epoch")}${finished_at ? "" : " so far"}, of at most ${epochs[0].planned_epochs}. `,
      kept === null
        ? ""
        : `The weights of epoch ${kept} ${finished_at ? "were kept" : "are the best so far"}. `,
      mode === "guided"
        ? "Validation data chose it, so these curves show that choosing worked; how well the samples are unlearned is measured on other data, below."
        : "",
      uncalibrated > 0
        ? ` For ${counted(uncalibrated, "sample")} no goal is known: validation has none of their class.`
        : "",
    ),
    h(
      "div",
      { class: "below" },
      side(
        ...[
          accuracyChart(epochs, kept, charts),
          known(epochs, "validation_auc") && aucChart(epochs, kept, charts),
          known(epochs, "validation_band") && bandChart(epochs, kept, charts),
          known(epochs, "temperature") && temperatureChart(epochs, kept, charts),
          known(epochs, "loss") && lossChart(epochs, kept, charts, method),
        ].filter(Boolean),
      ),
    ),
  );
}

function known(epochs, name) {
  return epochs.some((one) => one[name] !== null && one[name] !== undefined);
}

function line(epochs, name, shown, style) {
  return {
    name: shown,
    x: epochs.map((one) => one.number),
    y: epochs.map((one) => one[name] ?? null),
    style,
  };
}

/** A level, or the epoch that was kept. */
function level(epochs, value, shown) {
  return { name: shown, x: ends(epochs), y: [value, value], style: REFERENCE };
}

function keptAt(kept, range) {
  return kept === null
    ? []
    : [{ name: `kept: epoch ${kept}`, x: [kept, kept], y: range, style: SECOND_REFERENCE }];
}

function ends(epochs) {
  return [0.5, Math.max(epochs.length, 2) + 0.5];
}

function axes(epochs, title, range, format) {
  return {
    x: { title: "epoch", range: ends(epochs), whole: true },
    y: { title, range, format },
  };
}

/** Room above and below, so that nothing lies on the frame. */
function spread(values, least) {
  const present = values.filter((one) => one !== null && one !== undefined);
  const low = Math.min(...present);
  const high = Math.max(...present);
  const room = Math.max((high - low) * 0.08, (least - (high - low)) / 2, FLAT);
  return [low - room, high + room];
}

function rowsOf(epochs, ...names) {
  return () =>
    epochs.map((one) => [
      one.number,
      ...names.map((name) =>
        one[name] === null || one[name] === undefined ? "–" : number(one[name], 4),
      ),
    ]);
}

function accuracyChart(epochs, kept, charts) {
  const last = epochs.at(-1);
  const [low, high] = spread(
    epochs.flatMap((one) => [one.forget_accuracy, one.target_accuracy]),
    0.1,
  );
  const range = [Math.max(low, -0.01), Math.min(high, 1.004)];
  return charts.figure({
    key: "accuracy",
    title: term("forget_accuracy"),
    summary: `After epoch ${last.number} the model is right on ${percent(last.forget_accuracy)} of the forget set; the goal is ${percent(last.target_accuracy)}.`,
    spec: {
      ...axes(epochs, "accuracy, forget set", range, ".0%"),
      series: [
        line(epochs, "forget_accuracy", "forget set", 0),
        level(epochs, last.target_accuracy, "goal"),
        ...keptAt(kept, range),
      ],
    },
    columns: ["Epoch", "Forget set", "Goal"],
    rows: rowsOf(epochs, "forget_accuracy", "target_accuracy"),
  });
}

function aucChart(epochs, kept, charts) {
  const [first, last] = [epochs[0], epochs.at(-1)];
  const range = spread([0.5, ...epochs.map((one) => one.validation_auc)], 0.1);
  return charts.figure({
    key: "validation-auc",
    title: term("validation_auc"),
    summary: `It was ${number(first.validation_auc)} after the first epoch and ${number(last.validation_auc)} after epoch ${last.number}; 0.5 tells nothing apart.`,
    spec: {
      ...axes(epochs, "AUC, validation half", range),
      series: [
        line(epochs, "validation_auc", "attack AUC", 0),
        level(epochs, 0.5, "no better than guessing"),
        ...keptAt(kept, range),
      ],
    },
    columns: ["Epoch", "Attack AUC"],
    rows: rowsOf(epochs, "validation_auc"),
  });
}

function bandChart(epochs, kept, charts) {
  const last = epochs.at(-1);
  const range = spread(
    [0, ...epochs.flatMap((one) => [one.validation_band, one.validation_member_excess])],
    0.1,
  );
  return charts.figure({
    key: "validation-band",
    title: term("validation_band"),
    summary: `After epoch ${last.number} the band advantage is ${number(last.validation_band)} and the member excess ${number(last.validation_member_excess)}; 0 is what chance gives.`,
    spec: {
      ...axes(epochs, "advantage, validation half", range),
      series: [
        line(epochs, "validation_band", "band advantage", 0),
        line(epochs, "validation_member_excess", "member excess", 1),
        level(epochs, 0, "nothing tells them apart"),
        ...keptAt(kept, range),
      ],
    },
    columns: ["Epoch", "Band advantage", "Member excess"],
    rows: rowsOf(epochs, "validation_band", "validation_member_excess"),
  });
}

function temperatureChart(epochs, kept, charts) {
  const last = epochs.at(-1);
  const range = spread([1, ...epochs.map((one) => one.temperature)], 0.1);
  return charts.figure({
    key: "temperature",
    title: term("temperature"),
    summary: `It is ${number(last.temperature)} in epoch ${last.number}: above 1 as long as the model does better on the forget set than is the goal.`,
    spec: {
      ...axes(epochs, "temperature, no unit", range),
      series: [
        line(epochs, "temperature", "temperature", 0),
        level(epochs, 1, "1: at the goal"),
        ...keptAt(kept, range),
      ],
    },
    columns: ["Epoch", "Temperature"],
    rows: rowsOf(epochs, "temperature"),
  });
}

function lossChart(epochs, kept, charts, method) {
  const last = epochs.at(-1);
  const range = spread(
    epochs.map((one) => one.loss),
    1e-4,
  );
  return charts.figure({
    key: "loss",
    title: term("loss"),
    summary: `It is ${number(last.loss, 4)} nats in epoch ${last.number}. The loss of one method is no scale for that of another.`,
    spec: {
      ...axes(epochs, "mean loss, nats", range),
      series: [
        line(epochs, "loss", `what ${say(METHODS, method)} minimises`, 0),
        ...keptAt(kept, range),
      ],
    },
    columns: ["Epoch", "Loss"],
    rows: rowsOf(epochs, "loss"),
  });
}
