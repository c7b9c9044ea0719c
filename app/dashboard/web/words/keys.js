/** What each scope allows. */

export const SCOPES = {
  "requests:write": "submit and cancel requests",
  "requests:read": "read requests, runs, certificates",
  "requests:decide": "approve, refuse, hold, decide, take versions back",
  "registry:write": "register data sets, models, versions",
  "registry:read": "read data sets, models, versions",
  "artifacts:read": "pull weights",
  "audit:read": "read the log and its proofs",
  "webhooks:admin": "manage receivers of messages",
  "metrics:read": "read operational figures",
  "keys:admin": "make, rotate and revoke keys",
};
