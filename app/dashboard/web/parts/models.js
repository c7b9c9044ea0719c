/** Names of the controller's models, to choose from and to show in place of ids. */

import { queryText } from "./h.js";
import { can } from "./session.js";

const MOST_PAGES = 10;
const REST_MS = 30_000;

export class ModelNames {
  constructor() {
    /** @type {Map<string, string>} by id */
    this.names = new Map();
    this.readAt = -Infinity;
  }

  /** Reads them, now and then. Without the scope there are none. @param {import("./api.js").Reader} reader */
  async look(reader) {
    if (!can("registry:read") || performance.now() - this.readAt < REST_MS) return;
    const found = new Map();
    let cursor = null;
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const { data } = await reader.tryRead(`/models?${queryText({ limit: "200", cursor })}`);
      for (const one of data?.items ?? []) found.set(one.id, one.name);
      cursor = data?.next_cursor ?? null;
      if (!cursor) break;
    }
    this.names = found;
    this.readAt = performance.now();
  }

  /** @param {string | null | undefined} chosen stays to be chosen, whatever it is @returns {[string, string][]} none if there is nothing to choose from */
  choices(chosen) {
    const known = [...this.names];
    if (chosen && !this.names.has(chosen)) known.push([chosen, chosen]);
    return known.length > 0 ? [["", "Any"], ...known] : [];
  }
}
