/** Tables that can be read at any width: on a narrow screen each row becomes a small card. */

import { h } from "./h.js";

/**
 * @template T
 * @typedef {object} Column
 * @property {import("./h.js").Child} name
 * @property {string} [label] the name as plain text, where `name` is more than that
 * @property {(row: T) => import("./h.js").Child} cell
 * @property {boolean} [number] aligned to the right
 * @property {boolean} [head] names the row
 * @property {boolean} [minor] left out where there is little room
 */

/**
 * @template T
 * @param {{ caption: string, columns: (Column<T> | false | null)[], rows: T[], key: (row: T) => string, chosen?: (row: T) => boolean }} options
 * @returns {HTMLElement}
 */
export function table({ caption, columns, rows, key, chosen = () => false }) {
  const shown = columns.filter(Boolean);
  return h(
    "div",
    { class: "table-wrap" },
    h(
      "table",
      // Said once more, since browsers forget it of a table that is laid out as cards.
      { class: "stacked", role: "table" },
      h("caption", { class: "unseen" }, caption),
      h(
        "thead",
        { role: "rowgroup" },
        h(
          "tr",
          { role: "row" },
          shown.map((column) =>
            h("th", { scope: "col", role: "columnheader", class: kind(column) }, column.name),
          ),
        ),
      ),
      h(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) =>
          h(
            "tr",
            { key: key(row), role: "row", data: chosen(row) ? { chosen: "" } : {} },
            shown.map((column) => cell(column, row)),
          ),
        ),
      ),
    ),
  );
}

function cell(column, row) {
  const label = column.label ?? (typeof column.name === "string" ? column.name : null);
  return h(
    column.head ? "th" : "td",
    {
      scope: column.head && "row",
      role: column.head ? "rowheader" : "cell",
      class: kind(column),
      "data-label": label || null,
    },
    h("div", { class: "cell" }, column.cell(row)),
  );
}

function kind({ number, minor }) {
  return [number && "number", minor && "minor"].filter(Boolean).join(" ") || null;
}
