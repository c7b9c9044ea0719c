/** A model whose runs kept failing begins none for a while, unless a person lifts the pause. */

import { ERRORS, say } from "../../words.js";
import { send } from "../../parts/api.js";
import { ask } from "../../parts/dialog.js";
import { h } from "../../parts/h.js";
import { now } from "../../parts/now.js";
import { counted } from "../../parts/number.js";
import { can } from "../../parts/session.js";
import { announce } from "../../parts/shell.js";
import { time } from "../../parts/time.js";

/** The pause is told of until a run comes to a verdict, also once it is over. */
export function isPaused(paused) {
  return Boolean(paused) && Date.parse(paused.until) > now();
}

/** @param {any} model @param {() => void} again */
export function pauseCard({ id, paused }, again) {
  if (!paused) return null;
  const why = `${counted(paused.consecutive_failures, "run")} of this model failed in a row: ${say(ERRORS, paused.reason) || "the reason is not known"}.`;
  if (!isPaused(paused))
    return h("p", { class: "state" }, `${why} The pause is over, and runs begin again.`);
  return h(
    "div",
    { class: "verdict-line", data: { level: "warn" } },
    h(
      "div",
      { class: "row" },
      h("span", null, why, " None begins before ", time(paused.until), "."),
      can("requests:decide") &&
        h("button", { type: "button", on: { click: () => askToResume(id, again) } }, "Resume"),
    ),
  );
}

function askToResume(id, again) {
  ask({
    title: "Resume this model",
    what: h(
      "p",
      null,
      "Runs of the model may begin at once. If what made them fail is still there, it is paused again after the next failures.",
    ),
    action: "Resume",
    submit: async () => {
      await send("POST", `/models/${encodeURIComponent(id)}/resume`);
      announce("Runs of the model may begin");
      again();
    },
  });
}
