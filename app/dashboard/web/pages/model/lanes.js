/** Which lane of a drawing each version stands in, as in a history of commits. Knows no page. */

/**
 * @typedef {object} Row
 * @property {any} version
 * @property {number} lane it stands in
 * @property {boolean} above whether a line comes to it from a later version in its own lane
 * @property {boolean} below whether a line goes on to its parent
 * @property {number[]} joins lanes whose line ends at this version
 * @property {number[]} through lanes whose line passes it by
 */

/**
 * @param {any[]} versions newest first; a parent comes after its children
 * @returns {{ rows: Row[], lanes: number }}
 */
export function lanesOf(versions) {
  const known = new Set(versions.map((one) => one.id));
  // For each lane the version that its line leads to.
  const waiting = [];
  let lanes = 0;
  const rows = versions.map((version) => {
    const expecting = waiting.flatMap((id, lane) => (id === version.id ? [lane] : []));
    const above = expecting.length > 0;
    const lane = above ? expecting[0] : free(waiting);
    for (const one of expecting) waiting[one] = null;
    const below = known.has(version.parent);
    waiting[lane] = below ? version.parent : null;
    lanes = Math.max(lanes, waiting.length);
    const through = waiting.flatMap((id, at) => (id && at !== lane ? [at] : []));
    return { version, lane, above, below, joins: expecting.slice(1), through };
  });
  return { rows, lanes };
}

function free(waiting) {
  const lane = waiting.findIndex((id) => id === null);
  return lane < 0 ? waiting.length : lane;
}
