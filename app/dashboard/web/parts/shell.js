/** The frame around every page: name, menu, who is logged in, theme, banner, and where pages go. */

import { connection } from "./connection.js";
import { h, render } from "./h.js";
import { session } from "./session.js";
import { time } from "./time.js";

const STORED = "lotus-theme";
const THEMES = [
  ["", "System theme"],
  ["light", "Light theme"],
  ["dark", "Dark theme"],
];

const live = h("div", { class: "unseen", "aria-live": "polite", "aria-atomic": "true" });

/** Tells screen readers of a change that matters; not for what changes at every look. */
export function announce(text) {
  live.textContent = "";
  setTimeout(() => (live.textContent = text), 50);
}

/**
 * @param {import("../routes.js").Route[]} routes
 * @param {() => void} logOut
 */
export function shell(routes, logOut) {
  const heading = h("h1", { tabindex: "-1" });
  const beside = h("div", { class: "beside" });
  const body = h("div", { class: "page" });
  const menu = h("nav", { class: "menu", "aria-label": "Pages" });
  const who = h("div", { class: "who" });
  const main = h("main", { id: "main" }, h("div", { class: "head" }, heading, beside), body);
  const skip = h(
    "a",
    { class: "skip", href: "#main", on: { click: skipTo(heading) } },
    "Skip to the page",
  );
  document.body.append(
    skip,
    h(
      "header",
      { class: "frame" },
      h(
        "a",
        { class: "brand", href: "#/" },
        h("span", { class: "name" }, "LoTUS"),
        h("span", { class: "what" }, "Right to erasure in trained models"),
      ),
      menu,
      who,
    ),
    h("div", { class: "content" }, connection.banner, main),
    live,
  );

  /**
   * Makes room for a page.
   * @param {import("../routes.js").Route | null} route
   * @param {boolean} same as before, with another query: what it shows may be patched
   */
  function enter(route, same) {
    const loggedIn = session();
    menu.hidden = !loggedIn;
    render(
      menu,
      h(
        "ul",
        null,
        routes.filter((one) => one.nav).map((one) => h("li", null, entry(one, route))),
      ),
    );
    render(who, loggedIn && person(loggedIn, logOut), themes());
    if (!same) {
      render(body);
      render(beside);
    }
    return { body, heading, beside };
  }

  return { enter };
}

/** A page below another one belongs to its entry in the menu. */
function entry(one, route) {
  const inside =
    route &&
    (route.path === one.path || (one.path !== "/" && route.path.startsWith(one.path + "/")));
  const current = route === one ? "page" : inside ? "true" : null;
  return h("a", { href: "#" + one.path, "aria-current": current }, one.nav);
}

function skipTo(heading) {
  return (event) => {
    event.preventDefault();
    heading.focus();
  };
}

function person({ key, controller, expires_at }, logOut) {
  return h(
    "div",
    { class: "person" },
    h("p", null, h("strong", null, key.name), h("span", { class: "of" }, controller.name)),
    expires_at && h("p", { class: "until" }, "Logged in until ", time(expires_at)),
    h("button", { type: "button", class: "small quiet", on: { click: logOut } }, "Log out"),
  );
}

function themes() {
  const chosen = document.documentElement.dataset.theme ?? "";
  return h(
    "select",
    {
      class: "theme",
      "aria-label": "Theme",
      value: chosen,
      on: { change: ({ target }) => choose(target.value) },
    },
    THEMES.map(([value, name]) => h("option", { value, selected: value === chosen }, name)),
  );
}

function choose(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  try {
    if (theme) localStorage.setItem(STORED, theme);
    else localStorage.removeItem(STORED);
  } catch {
    // Storage is switched off: the choice lasts until the window is closed.
  }
  document.dispatchEvent(new CustomEvent("lotus:theme"));
}
