/** What becomes of an item that the service could not finish by itself. */

import { REFUSALS } from "../../parts/codes.js";
import { REASONS } from "../../words.js";
import { send } from "../../parts/api.js";
import { ask } from "../../parts/dialog.js";
import { select } from "../../parts/fields.js";
import { h } from "../../parts/h.js";

const METHODS = [
  ["", "The policy's own"],
  ["lotus", "LoTUS"],
  ["rbm", "RBM"],
  ["scrub", "SCRUB"],
  ["random_label", "Random labels"],
];
const WHAT = {
  retry:
    "Another run, with the policy's method or one of your choice. It concerns every request that waits in the same run. Settings of your own are given with the API.",
  retrain:
    "The model is trained anew without the samples, by the recipe that was registered with it. It concerns every request that waits in the same run, and takes as long as a training.",
  accept:
    "The rejected version is published with its true verdict, and so the certificate says. It concerns every request that waits in the same run.",
  refuse:
    "This item ends, with a reason in the law. Others that waited with it go on waiting. This cannot be taken back.",
};
const NAMES = {
  retry: "Try again",
  retrain: "Retrain exactly",
  accept: "Accept the rejected version",
  refuse: "Refuse",
};

/** @param {any} item @param {any} request @param {() => void} again */
export function askWhatToDo(item, request, again) {
  const possible = Object.keys(WHAT).filter(
    (one) => one !== "accept" || item.state === "needs_decision",
  );
  const what = h("p", { "aria-live": "polite" }, WHAT.retry);
  const method = select("Method", "method", METHODS);
  const reason = select(
    "It rests on",
    "reason_code",
    REFUSALS.map((code) => [code, REASONS[code]]),
  );
  const tell = (action) => {
    what.textContent = WHAT[action];
    method.hidden = action !== "retry";
    reason.hidden = action !== "refuse";
  };
  tell("retry");
  ask({
    title: `Decide about ${item.model_name}`,
    what: [
      h(
        "fieldset",
        { class: "field" },
        h("legend", null, "What shall become of it?"),
        possible.map((one) =>
          h(
            "label",
            { class: "choice" },
            h("input", {
              type: "radio",
              name: "action",
              value: one,
              checked: one === "retry",
              on: { change: () => tell(one) },
            }),
            NAMES[one],
          ),
        ),
      ),
      what,
    ],
    fields: [method, reason],
    action: "Decide",
    submit: async ({ action, method: chosen, reason_code }) => {
      const body = { item: item.id, action };
      if (action === "retry" && chosen) body.method = chosen;
      if (action === "refuse") body.reason_code = reason_code;
      await send("POST", `/erasure-requests/${encodeURIComponent(request.id)}/decide`, body);
      again();
    },
  });
}
