/** A word with its one-line meaning, which opens by pointer, touch and keyboard. */

import { GLOSSARY } from "../glossary.js";
import { h } from "./h.js";

/**
 * @param {string} key of the glossary
 * @param {string} [shown] Default: the glossary's name
 * @returns {HTMLElement}
 */
export function term(key, shown) {
  const { name, means } = GLOSSARY[key];
  return h(
    "details",
    { class: "term", on: { toggle: closeOthers, keydown: closeOnEscape } },
    h("summary", null, shown ?? name, h("span", { class: "sign", "aria-hidden": "true" }, "?")),
    h("span", { class: "means" }, means),
  );
}

/**
 * A heading of a card with the meaning of what it names.
 * @param {string} key of the glossary
 * @param {string} [shown] Default: the glossary's name
 */
export function explained(key, shown) {
  return h(
    "div",
    { class: "title" },
    h("h2", null, shown ?? GLOSSARY[key].name),
    h("div", { class: "hint" }, term(key, "What is this")),
  );
}

function closeOthers({ target }) {
  if (!target.open) return;
  keepInside(target.querySelector(".means"));
  for (const other of document.querySelectorAll("details.term[open]"))
    if (other !== target) other.open = false;
}

/** Near the right edge it moves to the left, so that the page never gets wider. */
function keepInside(box) {
  box.style.left = "0";
  const beyond = box.getBoundingClientRect().right - (document.documentElement.clientWidth - 8);
  if (beyond > 0) box.style.left = `${-beyond}px`;
}

function closeOnEscape(event) {
  if (event.key !== "Escape") return;
  event.currentTarget.open = false;
  event.currentTarget.querySelector("summary").focus();
}

document.addEventListener("click", ({ target }) => {
  for (const open of document.querySelectorAll("details.term[open]"))
    if (!open.contains(target)) open.open = false;
});
