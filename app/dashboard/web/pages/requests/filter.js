/** The filter of the list of requests, which stands in the address. */

import { API } from "../../parts/api.js";
import { OPEN } from "../../parts/codes.js";
import { input, select, toInstant, toLocal } from "../../parts/fields.js";
import { h, link, queryText } from "../../parts/h.js";
import { now } from "../../parts/now.js";
import { STATES } from "../../words.js";

const ALL = [...OPEN, "completed", "cancelled", "refused"];
const NAMES = ["state", "due", "model", "regulation", "updated_since", "external_id"];
const DAY_MS = 86_400_000;
const DUE = [
  ["", "Any time"],
  ["overdue", "Late"],
  ["2", "Within 2 days"],
  ["7", "Within 7 days"],
  ["14", "Within 14 days"],
];
const LAWS = [
  ["", "Any"],
  ["gdpr", "GDPR"],
  ["ccpa", "CCPA"],
];

/**
 * The filter as it stands in the address, without the place in the list. Anybody can write an
 * address: a day that is none, or that no field could show, is left out.
 * @param {URLSearchParams} query
 */
export function sourceOf(query) {
  const found = Object.fromEntries(NAMES.map((name) => [name, query.getAll(name)]));
  found.due = found.due.filter((one) => DUE.some(([value]) => value === one));
  found.updated_since = found.updated_since.filter((one) => toLocal(one) !== "");
  return found;
}

/** @param {URLSearchParams} query of the page @returns {Record<string, any>} of the API */
function filterOf(query) {
  const {
    state,
    due: [due = ""],
    ...others
  } = sourceOf(query);
  const days = Number(due);
  const states = state.flatMap((one) => (one === "open" ? OPEN : [one]));
  if (due === "overdue") return { ...others, state: states, overdue: "true" };
  if (!(days > 0)) return { ...others, state: states };
  // The end of that day, so that the pages of one list ask the same.
  const end = (Math.floor(now() / DAY_MS) + 1 + days) * DAY_MS;
  return {
    ...others,
    state: states.length > 0 ? states : OPEN,
    overdue: "false",
    due_before: toInstant(end),
  };
}

/** @param {URLSearchParams} query @returns {string} the call that gives this page of the list */
export function pathOf(query) {
  return `/erasure-requests?${queryText({ ...filterOf(query), cursor: query.get("cursor"), limit: "50" })}`;
}

/**
 * @param {URLSearchParams} query
 * @param {import("../../parts/models.js").ModelNames} models to choose from
 */
export function filterForm(query, models) {
  const found = sourceOf(query);
  const states = found.state.join(",");
  const [law = ""] = found.regulation;
  const [model = ""] = found.model;
  const choices = models.choices(model);
  const known = states === "" || states === "open" || ALL.includes(states);

  function go({ currentTarget }) {
    const values = Object.fromEntries(new FormData(currentTarget));
    location.hash = link("requests", {
      ...values,
      state: values.state.split(","),
      updated_since: toInstant(values.updated_since),
    });
  }

  return h(
    "section",
    { class: "card", "aria-label": "Filter", key: "filter" },
    h(
      "form",
      {
        class: "filter",
        on: {
          change: go,
          submit: (event) => {
            event.preventDefault();
            go(event);
          },
        },
      },
      input("Case number", "external_id", {
        type: "search",
        value: found.external_id[0] ?? "",
        placeholder: "exact",
        autocomplete: "off",
      }),
      select(
        "State",
        "state",
        [
          ["", "Any"],
          ["open", "Open"],
          ...ALL.map((one) => [one, STATES[one][0]]),
          ...(known ? [] : [[states, "several"]]),
        ],
        { value: states },
      ),
      select("Due", "due", DUE, { value: found.due[0] ?? "" }),
      choices.length > 0 && select("Model", "model", choices, { value: model }),
      select("Law", "regulation", LAWS, { value: law }),
      input("Changed since", "updated_since", {
        type: "datetime-local",
        value: toLocal(found.updated_since[0] ?? null),
      }),
      h("button", { class: "unseen", type: "submit", tabindex: "-1" }, "Search"),
    ),
    h(
      "div",
      { class: "row below" },
      query.size > 0 && h("a", { href: link("requests") }, "Clear the filter"),
      h(
        "span",
        { class: "hint" },
        "Export these: ",
        exportLink(query, "csv"),
        " or ",
        exportLink(query, "ndjson"),
      ),
    ),
  );
}

function exportLink(query, format) {
  return h(
    "a",
    {
      href: `${API}/erasure-requests/export?${queryText({ ...filterOf(query), format })}`,
      download: `requests.${format}`,
    },
    format.toUpperCase(),
  );
}
