/** Codes of runs, models and their tests in plain words. Unknown codes are shown as they are. */

export const STEPS = {
  policy: "the policy's own method",
  other_settings: "other settings, after a rejected run",
  other_method: "another method, after a rejected run",
  retrain: "exact retraining",
  decision: "as a person decided",
};

export const METHODS = {
  lotus: "LoTUS",
  rbm: "RBM",
  scrub: "SCRUB",
  random_label: "random labels",
  retrain: "exact retraining",
};

export const MODES = {
  guided: "guided: validation data choose the epoch",
  paper: "as in the paper: all epochs",
  released: "as the authors' code, for comparison with published tables",
  fixed: "fixed settings",
  exact: "without the samples, by the training recipe",
};

export const PHASES = {
  loading: "loading data and weights",
  unlearning: "unlearning",
  verifying: "running the tests",
  publishing: "publishing",
};

export const ATTACKS = {
  phi: "the loss attack",
  margin: "the margin attack",
  neg_entropy: "the entropy attack",
  kuiper: "the distribution test",
  band: "the band attack",
  learned_attack: "the learned attack",
  stability_attack: "the stability attack",
};

export const APPROVALS = {
  none: "Requests are worked on without anybody's approval.",
  one: "A person approves each request before any run.",
  four_eyes: "A person who did not submit it approves each request before any run.",
};

export const LADDER = {
  other_settings: "a run with other settings",
  other_method: "a run with another method",
  retrain: "exact retraining, if the model has a training recipe",
};

export const TRIGGERS = {
  new_version: "a new version",
  schedule: "the version's bytes, on schedule",
};

export const TASKS = {
  image_classification: "image classification",
  tabular_classification: "tabular classification",
};
