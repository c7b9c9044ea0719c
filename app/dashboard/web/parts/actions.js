/** What can be done to a request, by whom, from where, and what it means. */

import { REASONS } from "../words.js";
import { send } from "./api.js";
import { OPEN, REFUSALS } from "./codes.js";
import { input, select, textarea, toInstant } from "./fields.js";
import { can } from "./session.js";
import { sha256 } from "./hash.js";

const HOLDS = ["identity_question", "restriction", "legal_hold", "internal_review"];
const EXTENSIONS = ["complexity", "number_of_requests"];

/**
 * @typedef {object} Action
 * @property {string} id last part of the call's path
 * @property {string} name
 * @property {string} scope
 * @property {string[]} from states
 * @property {string} what will happen
 * @property {boolean} [danger] it cannot be taken back
 * @property {() => HTMLElement[]} fields
 * @property {(values: Record<string, any>) => Promise<object | undefined>} body
 */

/** @type {Action[]} */
export const ACTIONS = [
  {
    id: "approve",
    name: "Approve",
    scope: "requests:decide",
    from: ["awaiting_approval"],
    what: "Work begins as soon as a worker is free. Where two persons have to agree, the key that submitted the request cannot approve it.",
    fields: () => [],
    body: async () => undefined,
  },
  {
    id: "hold",
    name: "Hold",
    scope: "requests:decide",
    from: OPEN.filter((state) => state !== "on_hold"),
    what: "Nothing is done until the request is resumed; a run in progress goes on without it. Under the GDPR a question of identity stops the legal clock. With any other reason it runs on.",
    fields: () => [
      select("Reason", "reason", choices(HOLDS), { required: true }),
      input(
        "Look again on",
        "until",
        { type: "datetime-local" },
        "From then on the request reads as late. It does not end the hold.",
      ),
      note(),
    ],
    body: async ({ reason, until, note: text }) => ({
      reason,
      ...some({ until: toInstant(until), note: text }),
    }),
  },
  {
    id: "resume",
    name: "Resume",
    scope: "requests:decide",
    from: ["on_hold"],
    what: "The hold ends, and a clock that stood still runs again. Work goes on where it was.",
    fields: () => [],
    body: async () => undefined,
  },
  {
    id: "extend",
    name: "Extend the deadline",
    scope: "requests:decide",
    from: OPEN,
    what: "The period becomes three months (GDPR) or 90 days (CCPA) from the day of the request. This is possible once, within the first period, and only if the person was told with the reasons.",
    fields: () => [
      select("Reason", "reason", choices(EXTENSIONS), { required: true }),
      input("The person was told on", "notified_at", { type: "datetime-local", required: true }),
      input(
        "Letter",
        "letter",
        { type: "file" },
        "Stays in your browser: only its SHA-256 is sent.",
      ),
    ],
    body: async ({ reason, notified_at, letter }) => ({
      reason,
      notified_at: toInstant(notified_at),
      ...some({
        evidence_sha256: letter?.size > 0 ? await sha256(await letter.arrayBuffer()) : "",
      }),
    }),
  },
  {
    id: "refuse",
    name: "Refuse",
    scope: "requests:decide",
    from: OPEN,
    danger: true,
    what: "The request ends. Nothing is unlearned, and a certificate says why. This cannot be taken back, and is not possible once a part was published. Telling the person, with the ways of complaint, is yours.",
    fields: () => [
      select("It rests on", "reason_code", choices(REFUSALS), { required: true }),
      note(),
    ],
    body: async ({ reason_code, note: text }) => ({ reason_code, ...some({ note: text }) }),
  },
  {
    id: "cancel",
    name: "Cancel",
    scope: "requests:write",
    from: OPEN,
    danger: true,
    what: "The request ends as if it had been withdrawn: nothing is unlearned, and there is no certificate. This cannot be taken back, and is not possible once a part was published.",
    fields: () => [],
    body: async () => undefined,
  },
];

/** @returns {Action[]} those that the key may do, from this state */
export function possible(state) {
  return ACTIONS.filter((one) => can(one.scope) && one.from.includes(state));
}

/** @param {Action} action @param {string} request @param {object | undefined} body @returns {Promise<any>} the request as it is now */
export function carryOut(action, request, body) {
  return send("POST", `/erasure-requests/${encodeURIComponent(request)}/${action.id}`, body);
}

function choices(codes) {
  return codes.map((code) => [code, REASONS[code][0].toUpperCase() + REASONS[code].slice(1)]);
}

function note() {
  return textarea(
    "Note",
    "note",
    { maxlength: 1000 },
    "For your own people; name no person. It is kept until the case closes.",
  );
}

/** Without what is empty. */
function some(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
}
