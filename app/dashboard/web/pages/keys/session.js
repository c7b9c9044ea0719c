/** Who is logged in in this browser. */

import { fact, facts } from "../../parts/facts.js";
import { h } from "../../parts/h.js";
import { short } from "../../parts/id.js";
import { leave } from "../../parts/leaving.js";
import { session } from "../../parts/session.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { SCOPES } from "../../words/keys.js";

export function sessionCard() {
  const { key, controller, scopes, expires_at: expires } = session();
  return h(
    "section",
    { class: "card" },
    explained("session", "This browser"),
    facts(
      fact("Key", h("bdi", null, key.name), " ", h("span", { class: "id", title: key.id }, short(key.id))),
      fact("Controller", h("bdi", null, controller.name)),
      fact("Logged in until", expires ? time(expires, { form: "both" }) : "–"),
    ),
    h("h3", { class: "below" }, "What it may do"),
    h(
      "ul",
      { class: "plain" },
      scopes.map((one) => h("li", null, h("code", null, one), SCOPES[one] && `: ${SCOPES[one]}`)),
    ),
    h(
      "div",
      { class: "row below" },
      h("button", { type: "button", on: { click: () => leave() } }, "Log out of this browser"),
    ),
  );
}
