/** Figures as text. A figure that is not there is a dash. */

/** @param {number | null | undefined} value @param {number} [digits] */
export function number(value, digits = 3) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

/** @param {number | null | undefined} value a share */
export function percent(value) {
  return value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`;
}

/** @param {number | null | undefined} low @param {number | null | undefined} high @param {number} [digits] */
export function interval(low, high, digits = 3) {
  return `[${number(low, digits)}, ${number(high, digits)}]`;
}

/** @param {number} count @param {string} one @param {string} [many] @returns {string} `1 sample`, `2 samples` */
export function counted(count, one, many = one + "s") {
  return `${count} ${count === 1 ? one : many}`;
}
