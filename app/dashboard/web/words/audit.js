/** What an entry of the audit log says, as a sentence. Every kind of the log is here. */

import { counted, number } from "../parts/number.js";
import { utc } from "../parts/time.js";
import {
  ERRORS,
  OUTCOMES,
  plain,
  REASONS,
  REGULATIONS,
  REOPENINGS,
  say,
  STATES,
  VERDICTS,
} from "../words.js";

/** @typedef {Record<string, any>} Facts */

const state = (code) => STATES[code]?.[0] ?? plain(code);
const verdict = (code) => VERDICTS[code]?.[0] ?? plain(code);
const because = (words, code) => (code ? `: ${say(words, code)}` : "");

/** Why something moved, where the move does not say it. */
const EVENTS = {
  ...REOPENINGS,
  model_added: "a model was registered that it concerns",
  lease_expired: "its worker fell silent",
  crashed: "its worker crashed",
  stopped: "its worker was stopped",
  next_rung: "the next try begins",
  covered: "an earlier run has worked on these samples already",
  base_changed: "another version was published meanwhile",
  request_cancelled: "a request in it was cancelled",
  regrouped: "its items were put together anew",
  taken_apart: "its items run again in smaller groups",
  retried: "a person asked for another try",
  accepted: "a person accepted it against its tests",
};

function moved(
  what,
  { from_state, to_state, event, outcome, reason_code, error_class, verdict: found },
) {
  const why = [
    EVENTS[event],
    outcome && OUTCOMES[outcome],
    reason_code && say(REASONS, reason_code),
    error_class && say(ERRORS, error_class),
    found && `verdict ${verdict(found)}`,
  ].filter(Boolean);
  const from = from_state ? `, from ${state(from_state)}` : "";
  return `${what}: ${state(to_state)}${from}${why.length > 0 ? ` (${why.join("; ")})` : ""}`;
}

const DECISIONS = {
  approve: "approved it",
  refuse: "refused it",
  hold: "put it on hold",
  resume: "ended the hold",
  extend: "extended the deadline",
};

/** @type {Record<string, (facts: Facts) => string>} */
export const ENTRIES = {
  "erasure:request:received": (f) =>
    `Received under the ${say(REGULATIONS, f.regulation)}, due ${utc(f.due_at)}; ${counted(f.identity_count, "identity", "identities")}, ${counted(f.item_count, "model")} concerned`,
  "erasure:request:moved": (f) => moved("Request", f),
  "erasure:item:moved": (f) => moved("Item", f),
  "erasure:run:formed": (f) =>
    `Run formed: ${plain(f.method)}, ${counted(f.items.length, "item")}, ${counted(f.forget_count, "sample")}, rung ${f.rung}`,
  "erasure:run:moved": (f) => moved(`Run, attempt ${f.attempt}`, f),
  "erasure:version:published": (f) =>
    `Version ${f.number} published, after ${counted(f.forget_count, "sample")} were unlearned`,
  "erasure:version:restored": (f) =>
    `An earlier version is current again; ${counted(f.taken_back.length, "version")} taken back, ${counted(f.reopened, "case")} reopened`,
  "erasure:version:destroyed": (f) => `Version ${f.number} destroyed (${plain(f.reason)})`,
  "erasure:request:closed": (f) =>
    `Case closed: ${counted(f.link_count, "link")} cut, ${counted(f.row_count, "data row")} and ${counted(f.version_count, "version")} to be destroyed`,
  "erasure:candidate:kept": (f) =>
    `Rejected version ${f.number} kept until a person decides (verdict ${verdict(f.verdict)})`,
  "erasure:model:paused": (f) =>
    `Model paused until ${utc(f.until)}, after ${counted(f.consecutive_failures, "failed run")} in a row${because(ERRORS, f.error_class)}`,
  "erasure:model:resumed": () => "The model's pause ended",
  "erasure:request:decided": (f) =>
    `A person ${DECISIONS[f.action] ?? plain(f.action)}${because(REASONS, f.reason)}`,
  "erasure:deadline:paused": (f) => `The legal clock stands still${because(REASONS, f.reason)}`,
  "erasure:deadline:resumed": (f) =>
    `The legal clock runs again; due ${utc(f.extended_due_at ?? f.due_at)}`,
  "erasure:deadline:extended": (f) =>
    `Deadline extended to ${utc(f.extended_due_at)}${because(REASONS, f.reason)}; the person was told ${utc(f.notified_at)}`,
  "erasure:deadline:neared": (f) =>
    f.days_left === 0
      ? "The deadline has passed"
      : `At most ${counted(f.days_left, "day")} left until the deadline`,
  "erasure:suppression:expired": (f) => `${counted(f.entry_count, "suppression")} expired`,
  "erasure:suppression:ended": (f) =>
    `${counted(f.entry_count, "suppression")} ended before the time`,
  "erasure:links:cut": (f) => `${counted(f.link_count, "reference")} to the person cut`,
  "erasure:recheck:finished": (f) =>
    `Re-check of ${counted(f.case_count, "case")}: ${plain(f.state)}, ${counted(f.relapsed_count, "relapse")}`,
  "erasure:case:relapsed": (f) =>
    `A later version knows the samples again: change ${number(f.change)}, standard error ${number(f.standard_error)}`,
  "erasure:recheck:missed": (f) =>
    `Closed without a re-check on the current version of ${counted(f.models.length, "model")}`,
  "erasure:export:begun": (f) => `Export of requests begun, as ${f.form}`,
  "erasure:export:ended": (f) =>
    `Export ended: ${counted(f.rows, "row")}, ${f.complete ? "complete" : "broken off"}`,
  "registry:dataset:registered": () => "Dataset registered",
  "registry:dataset:ready": () => "Dataset checked and ready",
  "registry:dataset:invalid": () => "Dataset found invalid",
  "registry:model:registered": () => "Model registered",
  "registry:model:ready": () => "Model checked and ready",
  "registry:model:invalid": () => "Model found invalid",
  "registry:version:registered": () => "Version registered",
  "registry:version:ready": () => "Version checked and ready",
  "registry:version:invalid": () => "Version found invalid",
  "registry:version:pulled": () => "Weights pulled",
  "registry:policy:changed": () => "Policy of a model changed",
  "registry:shard:rewritten": () => "Part of a dataset written anew, without destroyed rows",
  "storage:artifact:destroyed": () => "File destroyed",
  "keys:controller:created": () => "Controller created",
  "keys:jurisdiction:changed": () => "Whose public holidays count was changed",
  "keys:key:created": () => "Key created",
  "keys:key:rotated": () => "Key replaced by a successor",
  "keys:key:revoked": () => "Key revoked",
  "keys:key:used": () => "Key used",
  "keys:login:refused": () => "Calls without a valid key were refused",
  "certificates:certificate:written": (f) =>
    `Certificate written${f.replaces ? ", in place of an earlier one" : ""}`,
  "certificates:certificate:read": () => "Certificate read",
  "restore:service:paused": () => "Service paused after a restore",
  "restore:service:resumed": () => "Service resumed",
  "audit:key:adopted": () => "Signing key taken into use",
  "audit:key:retired": () => "Signing key retired",
  "audit:log:rewound": () => "The log was found not to continue what was signed",
  "audit:rewind:accepted": () => "A person accepted that the log goes on from an earlier state",
  "webhooks:endpoint:created": () => "Receiver registered",
  "webhooks:endpoint:removed": () => "Receiver removed",
  "webhooks:endpoint:disabled": () => "Receiver switched off",
  "webhooks:endpoint:enabled": () => "Receiver switched on",
  "webhooks:secret:rotated": () => "Secret of a receiver replaced",
  "webhooks:delivery:dead": (f) =>
    `Message ${f.event} given up after ${counted(f.attempts, "attempt")}`,
};

/** @param {{ kind: string, facts: Facts }} entry @returns {string} */
export function sentence({ kind, facts }) {
  return ENTRIES[kind]?.(facts) ?? plain(kind.replaceAll(":", " "));
}
