/** The request's certificates: read, downloaded, and checked in the browser. */

import { API, call, get } from "../../parts/api.js";
import { badge, icon } from "../../parts/badge.js";
import { told } from "../../parts/dialog.js";
import { h } from "../../parts/h.js";
import { HAS_CRYPTO } from "../../parts/hash.js";
import { short } from "../../parts/id.js";
import { announce } from "../../parts/shell.js";
import { empty } from "../../parts/states.js";
import { explained } from "../../parts/term.js";
import { time } from "../../parts/time.js";
import { statementOf, verify } from "../../parts/verify.js";
import { statementView } from "./statement.js";

/**
 * @typedef {{ bundle?: string, shown?: boolean, busy?: boolean, checks?: { name: string, held: boolean, what: string }[], problem?: Error }} Looked
 *
 * @param {any} request
 * @param {any[]} certificates
 * @param {Record<string, Looked>} kept what was done here with each
 * @param {import("../../parts/page.js").Page} page
 */
export function certificateCard(request, certificates, kept, page) {
  const newest = [...certificates].sort((one, other) =>
    one.created_at < other.created_at ? 1 : -1,
  );
  return h(
    "section",
    { class: "card" },
    explained("certificate"),
    newest.length === 0
      ? empty(
          "None yet: it is written when the case is completed, refused, opened again or closed.",
        )
      : h(
          "ul",
          { class: "list" },
          newest.map((one, at) =>
            h(
              "li",
              { key: one.id },
              certificateView(one, at === 0, request, (kept[one.id] ??= {}), page),
            ),
          ),
        ),
  );
}

function certificateView(one, holds, request, looked, page) {
  const issued = one.state === "issued";
  return [
    h(
      "div",
      { class: "between" },
      h("span", { class: "id", title: one.id }, short(one.id)),
      h(
        "span",
        { class: "row" },
        !holds && h("span", { class: "hint" }, "replaced by a newer one"),
        badge(one.state),
      ),
    ),
    h(
      "p",
      { class: "hint" },
      "Written ",
      time(one.created_at),
      issued && [", signed ", time(one.issued_at), `, entry ${one.log_index} of the log`],
    ),
    issued &&
      h(
        "div",
        { class: "row actions" },
        h(
          "button",
          {
            type: "button",
            "aria-expanded": String(Boolean(looked.shown)),
            on: { click: () => toggle(one, looked, page) },
          },
          looked.shown ? "Hide" : "View",
        ),
        h(
          "button",
          { type: "button", on: { click: () => check(one, request, looked, page) } },
          "Verify now",
        ),
        h(
          "a",
          {
            class: "button",
            href: `${API}/certificates/${encodeURIComponent(one.id)}`,
            download: `${one.id}.json`,
          },
          "Download",
        ),
      ),
    looked.problem && h("p", { class: "late", role: "alert" }, told(looked.problem)),
    looked.checks && checksView(looked.checks),
    looked.shown && looked.bundle && statementView(statementOf(looked.bundle)),
  ];
}

/** One at a time, of each certificate: a second click comes while the first is under way. */
async function attempt(looked, page, does) {
  if (looked.busy) return;
  Object.assign(looked, { busy: true, problem: undefined });
  try {
    await does();
  } catch (problem) {
    looked.problem = problem;
  }
  looked.busy = false;
  page.redraw();
}

/** That somebody read it is an entry of the log, so it is fetched once, and only when asked for. */
async function fetched(one, looked) {
  looked.bundle ??= await (await call("GET", `/certificates/${encodeURIComponent(one.id)}`)).text;
  return looked.bundle;
}

function toggle(one, looked, page) {
  return attempt(looked, page, async () => {
    await fetched(one, looked);
    looked.shown = !looked.shown;
  });
}

function check(one, request, looked, page) {
  return attempt(looked, page, async () => {
    looked.checks = undefined;
    if (!HAS_CRYPTO)
      throw new Error(
        "The browser checks signatures on pages of https only. Download the certificate and use `lotus verify`.",
      );
    const bundle = await fetched(one, looked);
    const { items } = await get("/signing-keys");
    looked.checks = await verify(bundle, items, request.id).catch((error) => {
      if (error.name === "NotSupportedError")
        throw new Error(
          "This browser knows no Ed25519 signatures. Download the certificate and use `lotus verify`.",
        );
      throw error;
    });
    announce(looked.checks.every(({ held }) => held) ? "Every check held" : "A check did not hold");
  });
}

function checksView(checks) {
  const held = checks.every((one) => one.held);
  return h(
    "div",
    { class: "checks", data: { held: String(held) } },
    h("p", null, h("strong", null, held ? "Every check held." : "A check did not hold.")),
    h(
      "ul",
      null,
      checks.map((one) =>
        h(
          "li",
          null,
          icon(one.held ? "good" : "bad"),
          h("span", { class: "unseen" }, one.held ? "held: " : "failed: "),
          h("strong", null, one.name),
          h("span", null, one.what),
        ),
      ),
    ),
    h(
      "p",
      { class: "hint" },
      "Checked here in your browser, with keys that came from the same service: it shows that the certificate, the log and the keys fit together, and less than ",
      h("code", null, "lotus verify"),
      " with a key that you keep elsewhere. That also checks the form of every field, and that the statement agrees with itself. No signature shows that a statement is true.",
    ),
  );
}
