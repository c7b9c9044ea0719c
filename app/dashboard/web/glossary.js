/**
 * What a figure or a word means, in one line each. The guides say more: docs/reading-a-report.md,
 * docs/states.md, docs/concepts.md.
 */

/** @type {Record<string, { name: string, means: string }>} */
export const GLOSSARY = {
  overdue: {
    name: "Overdue",
    means: "Open, and the legal period has passed. Not while the legal clock stands still.",
  },
  due_soon: {
    name: "Due soon",
    means: "Open, and not late, and the legal period ends within seven days.",
  },
  open: { name: "Open", means: "Neither completed nor cancelled nor refused." },
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
  step: {
    name: "Made as",
    means: "Why the run is made as it is: the policy, the ladder, a decision.",
  },
  seed: {
    name: "Seed",
    means: "Of all chance in the run and in its tests. Each run draws its own.",
  },
  started: { name: "Started", means: "The last attempt." },
  delta_auc: {
    name: "Margin of the AUC",
    means: "How far from 0.5 an attack AUC, with its interval, may lie to be within margin.",
  },
  delta_band: {
    name: "Margin of the band",
    means: "How large the band advantage, with its bound, may be to be within margin.",
  },
  max_accuracy_fall: {
    name: "Largest fall of accuracy",
    means: "On unseen data. A run that costs more is not published.",
  },
  alpha: {
    name: "Level of the tests",
    means: "How often a finding may be a false alarm, before retries and runs are allowed for.",
  },
  band_alpha: { name: "Level of the band", means: "Of the upper bound of the band advantage." },
  runs_counted: {
    name: "Runs in 30 days",
    means: "All of them share half an expected false alarm, so each is tested more strictly.",
  },
  margin_auc: {
    name: "AUC, the margin attack",
    means:
      "An attacker who looks at the label's logit against the best other one. 0.5 is the target.",
  },
  neg_entropy: {
    name: "AUC, the entropy attack",
    means:
      "An attacker who looks at how unsure the answer is, and not at the label. 0.5 is the target.",
  },
  kuiper: {
    name: "Kuiper's statistic",
    means: "Whether the forget samples' places among the unseen ones are evenly spread.",
  },
  learned_attack: {
    name: "Learned attack",
    means:
      "A classifier trained on the answers. No mode ever steers by it, so it shows what steering hides.",
  },
  stability_attack: {
    name: "Stability attack",
    means: "How answers change under small shifts or noise. No mode ever steers by it.",
  },
  same_model: {
    name: "RF-JSD of one model",
    means:
      "The model's answers on forget against unseen samples. A line within the bars is what chance gives; one to the right of all tells the sets apart.",
  },
  retain: {
    name: "Retain set",
    means: "Training samples of everybody else, which the model shall go on knowing.",
  },
  validation: {
    name: "Validation set",
    means: "Unseen samples that may choose the epoch, apart from those of the tests.",
  },
  membership_inference: {
    name: "Paper's membership inference",
    means:
      "Share of the forget set that the paper's attack calls trained on. It decides nothing here.",
  },
  forget_accuracy: {
    name: "Accuracy on the forget set",
    means:
      "LoTUS aims at what the model reaches on unseen data of the same classes. On small sets it often stays at 100 %.",
  },
  validation_auc: {
    name: "Attack AUC on validation data",
    means: "Steers the choice of the epoch in the guided mode. The tests below use other samples.",
  },
  validation_band: {
    name: "Advantage on validation data",
    means:
      "The band advantage steers nothing; the member excess of the paper's attack helps to choose the epoch.",
  },
  temperature: {
    name: "Temperature",
    means:
      "How much LoTUS smooths the answers that it teaches. Above 1 while the goal is not reached.",
  },
  loss: { name: "Loss", means: "What the method minimises, mean over the epoch's samples." },
  entropy: {
    name: "Entropy of the answers",
    means:
      "0 nats: one class is certain. LoTUS aims at the forget samples lying on the unseen ones; shapes that cover each other prove nothing.",
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
  leaf_hash: {
    name: "Hash",
    means: "Over what, when and which kind: the leaf of the Merkle tree.",
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
  current_version: {
    name: "Current version",
    means: "The one that is served, and that the next run starts from.",
  },
  lineage: {
    name: "Lineage",
    means:
      "Which version came from which. A line ends at weights that were trained elsewhere. A version that was taken back never comes back.",
  },
  recipe: {
    name: "Training recipe",
    means: "How the owner trained the model. Exact retraining needs it.",
  },
  policy: {
    name: "Policy",
    means: "What the owner of the model decided about how it is unlearned.",
  },
  pulls: {
    name: "Recipients",
    means: "Which key pulled which version. Each pull is recorded before the first byte is sent.",
  },
  pooled_change: {
    name: "Change",
    means:
      "Of the attack AUC from the version that each case rests on, and its 99 % lower bound. Above 0.03 there is an alarm.",
  },
  rollback: {
    name: "Rollback",
    means:
      "An earlier version became current again. What later versions had unlearned is unlearned once more.",
  },
  accuracies: {
    name: "Accuracy",
    means:
      "On unseen data: the price that everyone else pays. On the forget set it usually stays high.",
  },
  scopes: {
    name: "Scopes",
    means: "What a key may do. Nobody hands on a scope that he lacks.",
  },
  session: {
    name: "Session",
    means:
      "A cookie that no script can read stands for the key. It may do what the key may do, and ends with it.",
  },
  signing: {
    name: "Signing keys",
    means:
      "Public halves. The private one is with the sealer alone, and signs checkpoints and certificates.",
  },
  closes: {
    name: "Closes",
    means:
      "When the rollback window ends, the links are cut and the person's rows and earlier weights are destroyed.",
  },
};
