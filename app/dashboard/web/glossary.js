/**
 * What a figure or a word means, in one line each. The guides say more: docs/reading-a-report.md,
 * docs/states.md, docs/concepts.md.
 */

import { FIGURES } from "./words/figures.js";

/** @type {Record<string, { name: string, means: string }>} */
export const GLOSSARY = {
  ...FIGURES,
  overdue: {
    name: "Overdue",
    means: "Open, and the legal period has passed. Not while the legal clock stands still.",
  },
  due_soon: {
    name: "Due soon",
    means: "Open, and not late, and the legal period ends within seven days.",
  },
  open: { name: "Open", means: "Neither completed nor cancelled nor refused." },
  by_state: {
    name: "Requests by state",
    means: "How many requests are in each state now, those that have ended among them.",
  },
  messages: {
    name: "Messages to receivers",
    means:
      "Callbacks that tell of changes. What waits is tried again for 72 hours, and then given up.",
  },
  due: {
    name: "Due",
    means: "When the legal period ends, with the extension and the pauses that count now.",
  },
  expected: {
    name: "Expected",
    means:
      "Worked out from the queue and from how long runs took. No promise; empty while nothing can be said.",
  },
  waits_for: {
    name: "Waits for",
    means: "Who moves the request on, and by when that should have happened.",
  },
  item: {
    name: "Item",
    means: "One request on one model: a person's samples that this model was trained on.",
  },
  run: {
    name: "Run",
    means: "One unlearning of one model. Requests that wait for the same model share a run.",
  },
  rung: {
    name: "Rung",
    means: "How many rejected runs came before. Each halves the levels of the tests.",
  },
  attempt: { name: "Attempt", means: "How often the run was started. Only crashes are counted." },
  verdict: {
    name: "Verdict",
    means: "What the tests showed about a run. No verdict says that a sample left no trace.",
  },
  forget: {
    name: "Training samples",
    means: "The person's samples that the model was trained on and now has to unlearn.",
  },
  held_out: {
    name: "Held-out samples",
    means: "The person's samples that were kept for tests. No model was trained on them.",
  },
  unseen: {
    name: "Unseen samples",
    means: "Samples that no model was trained on, which the tests compare with.",
  },
  margin: {
    name: "Provable margin",
    means:
      "The smallest deviation of the attack AUC from 0.5 that so many samples can show at all.",
  },
  auc: {
    name: "Attack AUC",
    means:
      "How well an attacker tells the person's samples from unseen ones. 0.5 is the target; below it gives a person away too.",
  },
  band: {
    name: "Band advantage",
    means:
      "What an attacker gains over guessing who picks the range of confidence in which forgotten samples gather. 0 is the target.",
  },
  rf_jsd: {
    name: "RF-JSD",
    means: "The paper's figure, in nats: it is reported and decides nothing.",
  },
  accuracy: {
    name: "Accuracy on unseen data",
    means:
      "The price that everyone else pays. At most 2 points may be lost, or the run is rejected.",
  },
  place: {
    name: "Mean place",
    means:
      "Where the person's samples stand among unseen ones, from 0 to 1, by how sure the model is of them. 0.5 is what a stranger's would be.",
  },
  flagged: {
    name: "Outside the range",
    means: "One of 20 persons falls outside by chance; a flag needs more than that.",
  },
  recheck: {
    name: "Re-check",
    means: "Whether the result still holds on a later version of the model.",
  },
  relapse: {
    name: "Relapse",
    means:
      "A later version knew the samples again, by more than chance explains. At 3 a person decides.",
  },
  certificate: {
    name: "Certificate",
    means:
      "A signed statement of what was done and measured. Anybody can check it offline with the public key.",
  },
  audit: {
    name: "Audit log",
    means:
      "Every step is an entry in a Merkle tree: a changed, removed or added entry changes its root.",
  },
  root: {
    name: "Root",
    means: "One hash over all entries of the log. Two logs with the same root are the same.",
  },
  checkpoint: {
    name: "Checkpoint",
    means: "A signed head of the log. Whoever keeps one can prove what was in the log by then.",
  },
  pending: {
    name: "Pending",
    means: "Entries that are written and wait some moments for their place in the tree.",
  },
  lease: {
    name: "Lease",
    means:
      "Until when a worker holds its run. A worker that dies loses it, and the run starts again.",
  },
  heartbeat: { name: "Heartbeat", means: "When the worker last told that it lives." },
  paused: {
    name: "Paused model",
    means: "After three failed runs in a row none begins for a while. Others go on.",
  },
  recipients: {
    name: "Recipients",
    means:
      "Who pulled weights that were trained on the person's samples, and may have to be told (GDPR Art. 19).",
  },
  approval: {
    name: "Approval",
    means: "Whether somebody has to agree before work on the request begins.",
  },
  closes: {
    name: "Closes",
    means:
      "When the rollback window ends, the links are cut and the person's rows and earlier weights are destroyed.",
  },
};
