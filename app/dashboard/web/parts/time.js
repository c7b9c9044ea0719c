/** Times in the viewer's zone, with UTC as the title, which is also the accessible description;
 *  lengths in words. */

import { h } from "./h.js";
import { now } from "./now.js";

const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const PRECISE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** @param {Date} at */
export function clock(at) {
  return CLOCK.format(at);
}

/** @param {string} iso @returns {string} as in `2026-01-31 12:00:05 UTC` */
export function utc(iso) {
  return new Date(iso).toISOString().slice(0, 19).replace("T", " ") + " UTC";
}

/**
 * @param {number} seconds from now, negative for the past
 * @returns {string} as in `in 3 days`, `5 minutes ago`
 */
export function relative(seconds) {
  const size = Math.abs(seconds);
  if (size < 5) return "now";
  const [unit, length] =
    STEPS.find(([, one]) => size >= one * (one === 86_400 ? 2 : 1)) ?? STEPS[3];
  return RELATIVE.format(Math.trunc(seconds / length), unit);
}

/** @param {number | null | undefined} seconds @returns {string} as in `2 h 5 min`, `1.4 s` */
export function length(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/**
 * @param {string | null | undefined} iso
 * @param {{ form?: "full" | "precise" | "date" | "relative" | "both" }} [options] `precise`: with
 *   seconds; `both`: the time, then how far away it is
 */
export function time(iso, { form = "full" } = {}) {
  if (!iso) return h("span", { class: "none" }, "–");
  const element = h("time", { datetime: iso, title: utc(iso), data: { form } });
  tell(element);
  return element;
}

function tell(element) {
  const iso = element.dateTime;
  const at = new Date(iso);
  const full = ({ date: DATE, precise: PRECISE }[element.dataset.form] ?? DATE_TIME).format(at);
  const away = relative((at.getTime() - now()) / 1000);
  const shown = { relative: away, both: `${full}, ${away}` }[element.dataset.form] ?? full;
  if (element.textContent !== shown) element.textContent = shown;
}

/** Relative times grow old while they are looked at. */
setInterval(() => {
  for (const element of document.querySelectorAll(
    'time[data-form="relative"], time[data-form="both"]',
  ))
    tell(element);
}, 10_000);
