/** Questions that are asked before something is done. */

import { Refusal } from "./api.js";
import { h, render } from "./h.js";

let count = 0;

/**
 * A dialog with a form. It stays open while `submit` is under way and if that is refused.
 * @param {{
 *   title: string,
 *   what: import("./h.js").Child, what will happen, in plain words
 *   fields?: HTMLElement[],
 *   action: string,
 *   danger?: boolean,
 *   submit: (values: Record<string, string>) => Promise<void>,
 * }} options
 */
export function ask({ title, what, fields = [], action, danger = false, submit }) {
  const heading = `dialog-${++count}`;
  const error = h("div", { class: "field-error", role: "alert" });
  const button = h("button", { type: "submit", class: danger ? "danger" : "primary" }, action);
  const dialog = h(
    "dialog",
    { "aria-labelledby": heading, on: { close: () => dialog.remove() } },
    h(
      "form",
      { on: { submit: go } },
      h("h2", { id: heading }, title),
      h("div", null, what),
      fields,
      error,
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", on: { click: () => dialog.close() } }, "Back"),
        button,
      ),
    ),
  );

  async function go(event) {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    render(error);
    button.disabled = true;
    try {
      await submit(values);
      dialog.close();
    } catch (problem) {
      render(error, told(problem));
      button.disabled = false;
    }
  }

  document.body.append(dialog);
  dialog.showModal();
}

/** @param {Error} problem @returns {import("./h.js").Child} */
export function told(problem) {
  if (!(problem instanceof Refusal)) return problem.message;
  return [
    problem.message,
    problem.errors.length > 0 &&
      h(
        "ul",
        null,
        problem.errors.map((one) =>
          h("li", null, `${one.field.replace(/^body\./, "")}: ${one.message}`),
        ),
      ),
  ];
}

/** A dialog that only shows something. @param {string} title @param {...import("./h.js").Child} inside */
export function show(title, ...inside) {
  const heading = `dialog-${++count}`;
  const dialog = h(
    "dialog",
    { "aria-labelledby": heading, on: { close: () => dialog.remove() } },
    h(
      "div",
      { class: "inside" },
      h("h2", { id: heading }, title),
      inside,
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", on: { click: () => dialog.close() } }, "Close"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
