/** Log-in with an API key, shown in place of whatever page was asked for. */

import { Refusal } from "../parts/api.js";
import { h } from "../parts/h.js";
import { logIn, wasLost } from "../parts/session.js";
import { length } from "../parts/time.js";

/**
 * @param {import("../parts/page.js").Page} page
 * @param {() => void} done shows the page that was asked for
 */
export function open(page, done) {
  const field = h("input", {
    id: "key",
    name: "key",
    type: "password",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-describedby": "key-help key-error",
  });
  const error = h("p", { id: "key-error", class: "field-error", role: "alert" });
  const button = h("button", { type: "submit", class: "primary" }, "Log in");

  async function submit(event) {
    event.preventDefault();
    const key = field.value.trim();
    if (!key) return;
    error.textContent = "";
    button.disabled = true;
    try {
      await logIn(key);
      field.value = "";
      done();
    } catch (problem) {
      error.textContent = reason(problem);
      button.disabled = false;
      field.select();
      field.focus();
    }
  }

  page.title("Log in");
  page.show(
    h(
      "form",
      { class: "card log-in", on: { submit } },
      wasLost() &&
        h("p", { role: "status" }, "Your session has ended, or its key was revoked. Log in again."),
      h("label", { for: "key" }, "API key"),
      field,
      h(
        "p",
        { id: "key-help", class: "hint" },
        "The key is exchanged for a session and is not kept in the browser. An operator makes one with ",
        h("code", null, "lotus keys create"),
        ".",
      ),
      error,
      button,
    ),
  );
  field.focus();
}

function reason(problem) {
  if (!(problem instanceof Refusal)) return problem.message;
  if (problem.status === 401)
    return "This key is not valid: it is mistyped, has expired, or was revoked.";
  if (problem.status === 429)
    return `Too many tries. The next one is possible in ${length(problem.retryAfter ?? 60)}.`;
  return problem.errors.length > 0 ? "This does not look like an API key." : problem.message;
}
