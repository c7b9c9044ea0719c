/** The versions of a model, newest first, and which came from which. */

import { badge, mark } from "../../parts/badge.js";
import { h, svg } from "../../parts/h.js";
import { copyable, idLink } from "../../parts/id.js";
import { now } from "../../parts/now.js";
import { can } from "../../parts/session.js";
import { empty } from "../../parts/states.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { lanesOf } from "./lanes.js";
import { askToRollBack } from "./rollback.js";

const LANE = 20;
const MIDDLE = 14;
const DAY_MS = 86_400_000;

/** @param {any} model @param {any[]} versions newest first @param {boolean} more @param {() => void} again */
export function lineageCard(model, versions, more, again) {
  const { rows, lanes } = lanesOf(versions);
  const numbers = new Map(versions.map((one) => [one.id, one.number]));
  return h(
    "section",
    { class: "card" },
    explained("lineage", "Versions"),
    more && h("p", { class: "hint" }, "The newest 200."),
    versions.length === 0
      ? empty("The model has no version yet.")
      : h(
          "ol",
          { class: "lineage", reversed: true, style: { "--lanes": String(lanes) } },
          rows.map((row) =>
            h(
              "li",
              { key: row.version.id },
              lines(row, lanes),
              words(row.version, numbers, model, versions, again),
            ),
          ),
        ),
  );
}

/** Lines to the node at a fixed height, and from there to the end of the row, however high it is. */
function lines({ version, lane, above, below, joins, through }, lanes) {
  const at = (one) => one * LANE + LANE / 2;
  const down = below ? [...through, lane] : through;
  return h(
    "div",
    { class: "lines", "aria-hidden": "true" },
    svg(
      "svg",
      { width: lanes * LANE, height: 2 * MIDDLE, focusable: "false" },
      above && svg("path", { d: `M${at(lane)} 0V${MIDDLE}` }),
      below && svg("path", { d: `M${at(lane)} ${MIDDLE}V${2 * MIDDLE}` }),
      through.map((one) => svg("path", { d: `M${at(one)} 0V${2 * MIDDLE}` })),
      joins.map((one) =>
        svg("path", {
          d: `M${at(one)} 0C${at(one)} ${MIDDLE} ${at(lane)} 0 ${at(lane)} ${MIDDLE}`,
        }),
      ),
      svg("circle", {
        cx: at(lane),
        cy: MIDDLE,
        r: 6,
        class: version.state === "active" ? "now" : null,
      }),
    ),
    down.map((one) => h("span", { class: "line", style: { left: `${at(one) - 1}px` } })),
  );
}

function words(version, numbers, model, versions, again) {
  const { run, parent, taken_back_at: takenBack, problem } = version;
  return h(
    "div",
    { class: "what" },
    h(
      "div",
      { class: "row" },
      h("strong", null, `Version ${version.number}`),
      badge(version.state),
      takenBack && mark("taken back", "ended"),
    ),
    h(
      "p",
      null,
      run ? ["made by ", idLink(run)] : "trained elsewhere",
      parent ? `, from version ${numbers.get(parent) ?? "before these"}` : "",
      version.published_at
        ? [", published ", time(version.published_at)]
        : [", made ", time(version.created_at)],
      takenBack && [", taken back ", time(takenBack)],
      ".",
    ),
    problem && h("p", { class: "late" }, problem.detail ?? problem.title),
    h(
      "div",
      { class: "row hint" },
      h("span", { class: "id", title: version.sha256 }, version.sha256.slice(0, 16)),
      copyable(version.sha256, `the SHA-256 of version ${version.number}`),
      rollBack(version, model, versions, again),
    ),
  );
}

function rollBack(version, model, versions, again) {
  if (!can("requests:decide") || !canBecomeCurrent(version, model, versions)) return null;
  if (!insideWindow(version, model, versions))
    return h("span", null, "too long ago to be taken up again");
  return h(
    "button",
    {
      type: "button",
      class: "small danger",
      on: { click: () => askToRollBack(model, version, again) },
    },
    "Go back to this",
  );
}

function canBecomeCurrent(version, { current_version: current }, versions) {
  const now = versions.find((one) => one.id === current?.id);
  return now && wasCurrent(version) && isBefore(version, now, versions);
}

function wasCurrent({ state, published_at: published, taken_back_at: takenBack }) {
  return ["active", "superseded"].includes(state) && published !== null && takenBack === null;
}

/** A lineage follows those that were registered before it; inside one, numbers count. */
function isBefore(one, other, versions) {
  const begun = (version) =>
    versions.find(({ id }) => id === version.lineage)?.number ?? version.number;
  return begun(one) < begun(other) || (begun(one) === begun(other) && one.number < other.number);
}

/** The first version that would be taken back must be young enough. */
function insideWindow(version, { policy }, versions) {
  const taken = versions.filter((one) => wasCurrent(one) && isBefore(version, one, versions));
  const first = Math.min(...taken.map((one) => Date.parse(one.published_at)));
  return first + policy.rollback_days * DAY_MS > now();
}
