/** Fields of forms, each with a label of its own. */

import { h } from "./h.js";

/**
 * @param {string} label
 * @param {string} name of the field, and so of its id: what is drawn anew keeps it
 * @param {(id: string) => HTMLElement} make
 * @param {string} [hint]
 */
function field(label, name, make, hint) {
  const id = `field-${name}`;
  const input = make(id);
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    input,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
}

/**
 * @param {string} label
 * @param {string} name
 * @param {[value: string, shown: string][]} choices
 * @param {{ hint?: string, value?: string, required?: boolean, on?: Record<string, (event: Event) => void> }} [options]
 */
export function select(label, name, choices, { hint, value, required, on } = {}) {
  return field(
    label,
    name,
    (id) =>
      h(
        "select",
        { id, name, required, on, value },
        choices.map(([one, shown]) => h("option", { value: one, selected: one === value }, shown)),
      ),
    hint,
  );
}

/** @param {string} label @param {string} name @param {Record<string, any>} [props] @param {string} [hint] */
export function input(label, name, props = {}, hint) {
  return field(label, name, (id) => h("input", { id, name, ...props }), hint);
}

/** @param {string} label @param {string} name @param {Record<string, any>} [props] @param {string} [hint] */
export function textarea(label, name, props = {}, hint) {
  return field(label, name, (id) => h("textarea", { id, name, rows: 3, ...props }), hint);
}

/** @param {string} local of a field `datetime-local` @returns {string | null} RFC 3339, in UTC */
export function toInstant(local) {
  const at = new Date(local || NaN);
  return isNaN(at) ? null : at.toISOString().replace(/\.\d+Z$/, "Z");
}

/** @param {string | null} iso @returns {string} for a field `datetime-local` */
export function toLocal(iso) {
  const at = new Date(iso || NaN);
  if (isNaN(at) || at.getUTCFullYear() > 9998) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
