/** The codes of the API in plain words. An unknown code is shown as it is. */

/** @param {string | null | undefined} code @returns {string} `needs_decision` as `needs decision` */
export function plain(code) {
  return (code ?? "").replaceAll("_", " ");
}

/** By state: the words, and which of the shapes of `badge.js` goes with them. */
export const STATES = {
  received: ["received", "waiting"],
  awaiting_approval: ["awaiting approval", "person"],
  scheduled: ["scheduled", "waiting"],
  running: ["running", "active"],
  on_hold: ["on hold", "paused"],
  needs_decision: ["needs a decision", "person"],
  failed: ["failed", "bad"],
  completed: ["completed", "good"],
  cancelled: ["cancelled", "ended"],
  refused: ["refused", "ended"],
  published: ["published", "good"],
  queued: ["queued", "waiting"],
  verifying: ["verifying", "active"],
  publishing: ["publishing", "active"],
  succeeded: ["succeeded", "good"],
  rejected: ["rejected by the tests", "person"],
  superseded: ["superseded", "ended"],
  waiting: ["waiting", "waiting"],
  delivered: ["delivered", "good"],
  dead: ["given up", "bad"],
  stopped: ["stopped", "ended"],
  unsigned: ["not signed yet", "waiting"],
  issued: ["signed", "good"],
  checking: ["being checked", "active"],
  ready: ["ready", "good"],
  invalid: ["invalid", "bad"],
  candidate: ["candidate", "waiting"],
  active: ["current", "good"],
  destroyed: ["destroyed", "ended"],
};

/** By verdict: the words, the shape, and what it means. */
export const VERDICTS = {
  within_margin: [
    "within margin",
    "good",
    "No attack tried tells the samples from unseen ones by more than the margins.",
  ],
  reduced: ["reduced", "good", "An attack still tells them apart, at most half as well as before."],
  not_shown: [
    "not shown",
    "person",
    "Enough samples, but the interval of a figure crosses its margin.",
  ],
  insufficient_data: [
    "insufficient data",
    "paused",
    "So few samples cannot show that the margin holds, however good the figures look.",
  ],
  no_valid_reference: [
    "no valid reference",
    "paused",
    "The unseen data are no fair comparison for this person.",
  ],
  distinguishable: [
    "distinguishable",
    "bad",
    "An attack tells the samples apart too well. Nothing was published.",
  ],
  over_unlearned: [
    "over-unlearned",
    "bad",
    "The samples are conspicuously unfamiliar, which gives a person away too. Nothing was published.",
  ],
};

export const OUTCOMES = {
  unlearned: "A run worked on the samples, and its version was published",
  unlearned_not_testable:
    "Published, with too few or too unlike samples for the tests to say something",
  unlearned_accepted: "The tests said no, and a person published the version all the same",
  no_match: "Nothing had to be unlearned",
  refused: "The request was refused",
  reopened: "A completed case is worked on again",
};

export const REASONS = {
  no_samples: "no samples of the person were found",
  held_out_only:
    "the person is in test data only, which trained no model; the rows are destroyed all the same",
  previously_unlearned: "the person's samples were unlearned in an earlier case",
  freedom_of_expression: "freedom of expression and information, GDPR Art. 17(3)(a)",
  legal_obligation: "a legal obligation, GDPR Art. 17(3)(b)",
  public_health: "public health, GDPR Art. 17(3)(c)",
  archiving_or_research: "archiving or research, GDPR Art. 17(3)(d)",
  legal_claims: "legal claims, GDPR Art. 17(3)(e)",
  manifestly_unfounded: "manifestly unfounded or excessive, GDPR Art. 12(5)",
  identity_not_verified: "the identity could not be verified, GDPR Art. 12(2) and (6)",
  identity_question: "in doubt who it is, and the person was asked",
  restriction: "the person asked for restriction, or objected",
  legal_hold: "the data must be kept for the time being",
  internal_review: "internal review",
  complexity: "complexity of the request",
  number_of_requests: "number of requests",
};

export const WAITS = {
  service: "the service",
  worker: "a worker",
  decider: "a person who decides",
  controller: "the controller",
};

export const REOPENINGS = {
  rolled_back: "its version was taken back",
  trained_elsewhere: "a version that was trained elsewhere was registered",
  relapsed: "a later version knew the samples again",
  relapse_shared: "another case relapsed whose samples show this person too",
};

export const ERRORS = {
  crashed: "the worker crashed",
  out_of_memory: "the device ran out of memory",
  storage: "files could not be read or written",
  missing_data: "data or weights are missing",
  architecture: "the weights do not fit the architecture",
  numerical: "figures were not finite",
  settings: "the settings cannot be used",
  internal: "a fault of the service",
};

/** @param {Record<string, string>} words @param {string | null | undefined} code */
export function say(words, code) {
  return code ? (words[code] ?? plain(code)) : "";
}

export const REGULATIONS = { gdpr: "GDPR", ccpa: "CCPA" };
