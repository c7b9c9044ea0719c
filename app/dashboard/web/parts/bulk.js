/** One action on many requests: a call for each, and what came of each. */

import { Refusal } from "./api.js";
import { carryOut } from "./actions.js";
import { badge } from "./badge.js";
import { ask, show } from "./dialog.js";
import { h, render } from "./h.js";
import { idLink } from "./id.js";
import { session } from "./session.js";

/**
 * @param {import("./actions.js").Action} action
 * @param {any[]} rows requests
 * @param {() => void} done
 */
export function askForMany(action, rows, done) {
  const fit = rows.filter((row) => action.from.includes(row.state));
  const left = rows.length - fit.length;
  ask({
    title: `${action.name}: ${fit.length} ${fit.length === 1 ? "request" : "requests"}`,
    what: [
      h("p", null, action.what),
      left > 0 &&
        h(
          "p",
          { class: "hint" },
          `${left} of the chosen ${left === 1 ? "one is" : "ones are"} in a state that does not allow it, and left alone.`,
        ),
    ],
    fields: action.fields(),
    action: `${action.name} ${fit.length}`,
    danger: action.danger,
    submit: async (values) => {
      const body = await action.body(values);
      carryOutAll(action, fit, body, done);
    },
  });
}

async function carryOutAll(action, rows, body, done) {
  const bar = h("progress", { max: rows.length, value: 0, "aria-label": "Requests done" });
  const words = h("p", { role: "status" });
  const list = h("ul", { class: "list results" });
  const stop = h(
    "button",
    { type: "button", on: { click: () => dialog.close() } },
    "Stop after this one",
  );
  const dialog = show(action.name, bar, words, list, stop);
  const results = [];
  const tell = (text) => {
    bar.value = results.length;
    render(words, text);
    render(
      list,
      results.map(([row, result]) =>
        h(
          "li",
          { key: row.id },
          h("div", { class: "between" }, idLink(row.id, row.external_id), result),
        ),
      ),
    );
  };
  for (const row of rows) {
    if (!dialog.open) break;
    tell(`${results.length} of ${rows.length} done.`);
    results.push([row, await carryOutOne(action, row, body)]);
    if (!session()) return;
  }
  stop.remove();
  const bad = results.filter(([, result]) => result.className === "late").length;
  tell(`${results.length} of ${rows.length} done${bad > 0 ? `, ${bad} refused` : ""}.`);
  done();
}

/** Waits as long as the service asks for, where calls come too fast. */
async function carryOutOne(action, row, body) {
  for (;;) {
    try {
      return badge((await carryOut(action, row.id, body)).state);
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 429)
        return h("span", { class: "late" }, error.message);
      await new Promise((resolve) => setTimeout(resolve, (error.retryAfter ?? 5) * 1000));
    }
  }
}
