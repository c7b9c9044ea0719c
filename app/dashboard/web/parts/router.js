/** The address after `#` says which page is shown, so that every page can be linked. */

import { closeAll } from "./dialog.js";
import { h } from "./h.js";
import { Page } from "./page.js";
import { lacksScope } from "./states.js";
import { can, session } from "./session.js";

/** @param {string} hash @returns {{ path: string, query: URLSearchParams }} */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?", 2);
  return { path: path.startsWith("/") ? path : "/", query: new URLSearchParams(query) };
}

/** @param {string} pattern @param {string} path @returns {Record<string, string> | null} */
export function match(pattern, path) {
  const wanted = pattern.split("/");
  const found = path.replace(/(.)\/$/, "$1").split("/");
  if (wanted.length !== found.length) return null;
  const params = {};
  for (const [at, part] of wanted.entries())
    if (!part.startsWith(":")) {
      if (part !== found[at]) return null;
    } else {
      // What cannot be decoded is no id.
      try {
        params[part.slice(1)] = decodeURIComponent(found[at]);
      } catch {
        return null;
      }
    }
  return params;
}

export class Router {
  /**
   * @param {import("../routes.js").Route[]} routes
   * @param {ReturnType<typeof import("./shell.js").shell>} frame
   * @param {(page: Page) => void} logIn shown in place of any page while nobody is logged in
   */
  constructor(routes, frame, logIn) {
    this.routes = routes;
    this.frame = frame;
    this.logIn = logIn;
    this.leaving = new AbortController();
    this.path = null;
    // The browser itself decides where a page that has just been loaded begins.
    this.loaded = false;
  }

  start() {
    addEventListener("hashchange", () => this.go());
    this.go();
  }

  /** Shows what the address says. */
  async go() {
    const { path, query } = parse(location.hash);
    this.leaving.abort();
    closeAll();
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    const found = this.find(path);
    const elsewhere = this.path !== path || !session();
    this.path = session() ? path : null;
    const place = this.frame.enter(found?.route ?? null, !elsewhere);
    const page = new Page({
      ...place,
      params: found?.params ?? {},
      query,
      scope: found?.route.scope ?? null,
      signal,
    });
    if (!session()) {
      this.loaded = true;
      this.logIn(page);
      return;
    }
    if (found) await this.open(found.route, page);
    else this.unknown(page);
    const first = !this.loaded;
    this.loaded = true;
    if (first || !elsewhere || signal.aborted) return;
    place.heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  find(path) {
    for (const route of this.routes) {
      const params = match(route.path, path);
      if (params) return { route, params };
    }
    return null;
  }

  unknown(page) {
    page.title("No such page");
    page.show(
      h(
        "p",
        { class: "state empty" },
        "The address leads nowhere. ",
        h("a", { href: "#/" }, "To the overview"),
      ),
    );
  }

  async open(route, page) {
    page.title(route.title);
    if (route.scope && !can(route.scope)) {
      page.show(lacksScope(route.scope));
      return;
    }
    try {
      const module = await route.load();
      if (!page.signal.aborted) module.open(page);
    } catch (error) {
      if (page.signal.aborted) return;
      page.show(
        h(
          "div",
          { class: "state error" },
          h(
            "p",
            null,
            "This page could not be loaded. The service may have been updated meanwhile.",
          ),
          h(
            "button",
            { type: "button", on: { click: () => location.reload() } },
            "Load the dashboard anew",
          ),
        ),
      );
      console.error(error);
    }
  }
}
