/** How far a run in progress is. */

import { plain } from "../words.js";
import { h } from "./h.js";

/**
 * @param {{ progress: { phase: string, epoch?: number, planned_epochs?: number } | null }} run
 * @returns {HTMLElement | null}
 */
export function progressOf({ progress }) {
  if (!progress) return null;
  const { phase, epoch, planned_epochs: all } = progress;
  if (!epoch || !all) return h("p", { class: "hint" }, plain(phase));
  const words = `${plain(phase)}, epoch ${epoch} of ${all}`;
  return h(
    "div",
    { class: "progress" },
    h("progress", { max: all, value: epoch, "aria-label": words }),
    h("span", { class: "hint" }, words),
  );
}
