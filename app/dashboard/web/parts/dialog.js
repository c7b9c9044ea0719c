/** Questions that are asked before something is done. */

import { Refusal } from "./api.js";
import { h, render } from "./h.js";

let count = 0;
/** Those that are open, and belong to the page they were opened on. */
const open = new Set();

/** Of a page that is left. What must not be lost stays: see `show`. */
export function closeAll() {
  for (const dialog of open) dialog.close();
}

function put(dialog, stays) {
  if (!stays) open.add(dialog);
  dialog.addEventListener("close", () => {
    open.delete(dialog);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

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
    { "aria-labelledby": heading },
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
      // Whoever went on meanwhile has to know as well, but for whom the log-in tells it.
      if (!dialog.open && problem.status !== 401)
        show(`Not done: ${title}`, h("div", { role: "alert" }, told(problem)));
    }
  }

  put(dialog, false);
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
  return shown(title, inside, false);
}

/** The same, for what is shown once: it stays whatever page comes, and whoever is logged out. */
export function showOnce(title, ...inside) {
  return shown(title, inside, true);
}

function shown(title, inside, stays) {
  const heading = `dialog-${++count}`;
  const dialog = h(
    "dialog",
    { "aria-labelledby": heading },
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
  put(dialog, stays);
  return dialog;
}
