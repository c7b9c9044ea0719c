/** The banner that tells whether the service answers. One for the whole page. */

import { h, render } from "./h.js";
import { clock } from "./time.js";

const banner = h("div", { class: "banner", role: "status", hidden: true });
let lastAnswer = null;
let ticking = 0;

function show(kind, text, until, retry) {
  clearInterval(ticking);
  const left = h("span", { "aria-hidden": "true" });
  const tell = () => {
    const seconds = Math.max(0, Math.round((until - Date.now()) / 1000));
    left.textContent = seconds > 0 ? ` Next try in ${seconds} s.` : " Trying now.";
  };
  tell();
  ticking = setInterval(tell, 1000);
  banner.hidden = false;
  banner.dataset.kind = kind;
  render(
    banner,
    h("p", null, text, left),
    h("button", { type: "button", class: "small", on: { click: retry } }, "Try now"),
  );
}

export const connection = {
  banner,

  /** @param {number} pause in ms @param {() => void} retry */
  lost(pause, retry) {
    const since = lastAnswer === null ? "" : ` What you see is of ${clock(lastAnswer)}.`;
    show("offline", `The service does not answer.${since}`, Date.now() + pause, retry);
  },

  /** @param {number} pause in ms @param {() => void} retry */
  slowed(pause, retry) {
    show(
      "slow",
      "This key has made more calls than it may in so short a time.",
      Date.now() + pause,
      retry,
    );
  },

  restored() {
    lastAnswer = new Date();
    clearInterval(ticking);
    banner.hidden = true;
  },
};
