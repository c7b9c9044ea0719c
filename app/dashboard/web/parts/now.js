/** The time by the service's clock, which deadlines count by: a viewer's may be wrong. */

// `Date` has whole seconds, and an answer is some time on its way.
const TOLERATED_MS = 5_000;

let ahead = 0;

/** @returns {number} ms, as `Date.now()` */
export function now() {
  return Date.now() + ahead;
}

/** @param {string | null} date that an answer says it was made at */
export function heard(date) {
  const difference = Date.parse(date ?? "") + 500 - Date.now();
  if (Number.isFinite(difference)) ahead = Math.abs(difference) > TOLERATED_MS ? difference : 0;
}
