/** Logging out. Who is still logged in is told so, not only by a button that did nothing. */

import { show } from "./dialog.js";
import { h } from "./h.js";
import { logOut } from "./session.js";

/** @type {() => void} */
let left = () => {};

/** @param {() => void} does what happens then */
export function whenLeft(does) {
  left = does;
}

export async function leave() {
  try {
    await logOut();
  } catch (error) {
    show("You are still logged in", h("p", null, error.message));
    return;
  }
  location.hash = "#/";
  left();
}
