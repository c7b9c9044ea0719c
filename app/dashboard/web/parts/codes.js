/** Codes that several pages choose from, in the order in which they are offered. */

/** States of a request that has not ended. */
export const OPEN = [
  "received",
  "awaiting_approval",
  "scheduled",
  "running",
  "on_hold",
  "needs_decision",
  "failed",
];

/** Reasons that a person may refuse a request for. */
export const REFUSALS = [
  "identity_not_verified",
  "manifestly_unfounded",
  "freedom_of_expression",
  "legal_obligation",
  "public_health",
  "archiving_or_research",
  "legal_claims",
];
