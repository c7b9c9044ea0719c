/** Who did something: a key, a worker, the service, or a person at the machine. */

import { short } from "./id.js";
import { h } from "./h.js";
import { session } from "./session.js";

const WORDS = { service: "the service", operator: "an operator at the machine" };

/** @param {string | undefined} actor of an audit entry or a decision @returns {import("./h.js").Child} */
export function actor(actor) {
  if (!actor) return null;
  if (WORDS[actor]) return WORDS[actor];
  if (actor === session()?.key.id) return "you";
  return h("span", { class: "id", title: actor }, short(actor));
}
