/** What a model is. */

import { fact, facts } from "../../parts/facts.js";
import { h, link } from "../../parts/h.js";
import { copyable } from "../../parts/id.js";
import { can } from "../../parts/session.js";
import { term } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { say } from "../../words.js";
import { TASKS } from "../../words/runs.js";

/** @param {any} model */
export function standing(model) {
  const current = model.current_version;
  return h(
    "section",
    { class: "card" },
    h("h2", null, "What it is"),
    model.problem &&
      h(
        "p",
        { class: "late" },
        `It cannot be used: ${model.problem.detail ?? model.problem.title}`,
      ),
    facts(
      fact(
        "Model",
        h("span", { class: "id" }, model.id),
        " ",
        copyable(model.id, "the model's id"),
      ),
      fact(term("current_version"), current ? `version ${current.number}` : "none yet"),
      fact("Task", say(TASKS, model.task)),
      fact("Architecture", model.architecture),
      fact("Dataset", h("span", { class: "id" }, model.dataset)),
      fact(
        term("recipe"),
        model.training_recipe ? `known: ${model.training_recipe.epochs} epochs` : "not registered",
      ),
      fact("Registered", time(model.created_at)),
      fact("Ready since", time(model.ready_at)),
    ),
    h(
      "div",
      { class: "row below" },
      can("requests:read") &&
        h("a", { class: "button small", href: link("runs", { model: model.id }) }, "Its runs"),
      can("requests:read") &&
        h(
          "a",
          { class: "button small", href: link("requests", { model: model.id }) },
          "Its requests",
        ),
    ),
  );
}
