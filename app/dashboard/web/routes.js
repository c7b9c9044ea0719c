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
  {
    path: "/models",
    nav: "Models",
    title: "Models",
    scope: "registry:read",
    load: () => import("./pages/models.js"),
  },
  {
    path: "/models/:id",
    title: "Model",
    scope: "registry:read",
    load: () => import("./pages/model.js"),
  },
  {
    path: "/runs",
    nav: "Runs",
    title: "Runs",
    scope: "requests:read",
    load: () => import("./pages/runs.js"),
  },
  {
    path: "/runs/:id",
    title: "Run",
    scope: "requests:read",
    load: () => import("./pages/run.js"),
  },
  {
    path: "/audit",
    nav: "Audit log",
    title: "Audit log",
    scope: "audit:read",
    load: () => import("./pages/audit.js"),
  },
  {
    path: "/keys",
    nav: "Keys",
    title: "Keys",
    scope: null,
    load: () => import("./pages/keys.js"),
  },
];
