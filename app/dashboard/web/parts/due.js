/** The date that counts for the law, and how near it is. */

import { h } from "./h.js";
import { now } from "./now.js";
import { time } from "./time.js";

const NEAR_MS = 7 * 86_400_000;

/**
 * @param {{ due_at: string, overdue?: boolean, state: string, clock_paused_since?: string | null }} request
 * @returns {HTMLElement}
 */
export function due(request) {
  if (["completed", "cancelled", "refused"].includes(request.state))
    return h("span", { class: "muted" }, time(request.due_at, { form: "date" }));
  if (request.overdue)
    return h(
      "span",
      { class: "late" },
      "late: was due ",
      time(request.due_at, { form: "relative" }),
    );
  if (request.clock_paused_since)
    return h("span", null, "clock stands still, ", time(request.due_at, { form: "date" }));
  const near = Date.parse(request.due_at) - now() < NEAR_MS;
  return h("span", { class: near && "near" }, "due ", time(request.due_at, { form: "relative" }));
}
