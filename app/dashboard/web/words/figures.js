/** What the figures of runs and models, the log and keys mean: the part of the glossary that their
 *  pages need. */

/** @type {Record<string, { name: string, means: string }>} */
export const FIGURES = {
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
  leaf_hash: {
    name: "Hash",
    means: "Over what, when and which kind: the leaf of the Merkle tree.",
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
};
