/**
 * The pages. A page is one line here and one module in `pages/`.
 *
 * @typedef {object} Route
 * @property {string} path of the address after `#`; `:id` takes one part
 * @property {string} [nav] its name in the menu; a page without one is reached from others
 * @property {string} title until the page knows better
 * @property {string | null} scope without which it has nothing to show
 * @property {() => Promise<{ open: (page: import("./parts/page.js").Page) => void }>} load
 */

/** @type {Route[]} */
export const ROUTES = [
  {
    path: "/",
    nav: "Overview",
    title: "Overview",
    scope: "requests:read",
    load: () => import("./pages/overview.js"),
  },
  {
    path: "/requests",
    nav: "Requests",
    title: "Requests",
    scope: "requests:read",
    load: () => import("./pages/requests.js"),
  },
  {
    path: "/requests/:id",
    title: "Request",
    scope: "requests:read",
    load: () => import("./pages/request.js"),
  },
];
