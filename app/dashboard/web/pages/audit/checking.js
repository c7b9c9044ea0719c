/** "Check now": what the browser recomputes, and what came of it. */

import { Refusal } from "../../parts/api.js";
import { icon } from "../../parts/badge.js";
import { KNOWS_SOURCE } from "../../parts/canonical.js";
import { told } from "../../parts/dialog.js";
import { h } from "../../parts/h.js";
import { HAS_CRYPTO } from "../../parts/hash.js";
import { copyable } from "../../parts/id.js";
import { counted } from "../../parts/number.js";
import { announce } from "../../parts/shell.js";
import { time } from "../../parts/time.js";
import { Flaw } from "../../parts/verify.js";
import { forget, remember, remembered } from "./memory.js";
import { checkEntries, goesOn, signedHead } from "./proofs.js";

export class Checking {
  /** @param {import("../../parts/page.js").Page} page @param {string} path of the entries shown */
  constructor(page, path) {
    this.page = page;
    this.path = path;
    this.busy = "";
    /** @type {{ name: string, held: boolean, what: string }[] | null} */
    this.steps = null;
    /** Of each entry that was checked: the flaw, or null. By index and hash. */
    this.entries = new Map();
    this.problem = null;
  }

  /** @returns {string | null | undefined} undefined if it was not checked, or shows something else since */
  of(entry) {
    const found = this.entries.get(`${entry.index} ${entry.leaf_hash}`);
    return found && found.facts === JSON.stringify(entry.facts) ? found.flaw : undefined;
  }

  async run() {
    Object.assign(this, { steps: [], problem: null, busy: "the signed head" });
    this.entries.clear();
    this.page.redraw();
    try {
      await this.checkAll();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof Flaw) this.found(this.busy, false, error.message);
      else this.problem = inWords(error);
    }
    this.busy = "";
    announce(
      this.problem
        ? "The check could not be made"
        : this.held()
          ? "Every check held"
          : "A check did not hold",
    );
    this.page.redraw();
  }

  held() {
    return (this.steps ?? []).every((one) => one.held);
  }

  found(name, held, what) {
    this.steps.push({ name, held, what });
  }

  async checkAll() {
    const { signal } = this.page;
    const { text, note, said } = await signedHead(signal);
    this.found("signed head", true, said);
    this.busy = "continuity";
    const before = remembered();
    if (before) this.found("continuity", true, await goesOn(before.note, note, signal));
    this.busy = "entries";
    this.page.redraw();
    await this.checkShown(note, signal);
    // What does not fit is not put in the place of what did.
    if (this.held() && !remember(text))
      this.found("memory", true, "This browser keeps nothing, so the next visit starts anew.");
    else if (this.held() && !before)
      this.found(
        "continuity",
        true,
        "This browser saw the log for the first time, and takes it as it is. From now on it notices if something before this head is changed.",
      );
  }

  async checkShown(note, signal) {
    let good = 0;
    const bad = [];
    const later = await checkEntries(this.path, note, {
      signal,
      done: (entry, flaw) => {
        this.entries.set(`${entry.index} ${entry.leaf_hash}`, {
          facts: JSON.stringify(entry.facts),
          flaw,
        });
        if (flaw) bad.push(entry.index);
        else good += 1;
      },
    });
    const after =
      later > 0
        ? ` ${counted(later, "newer one")} ${later === 1 ? "waits" : "wait"} for the next signature.`
        : "";
    if (bad.length > 0) this.found("entries", false, `Not as they were logged: ${bad.join(", ")}.`);
    else
      this.found(
        "entries",
        true,
        `${counted(good, "entry", "entries")} of this page ${good === 1 ? "gives its hash and stands" : "give their hashes and stand"} under the signed head.${after}`,
      );
  }

  view() {
    const before = remembered();
    return h(
      "section",
      { class: "card" },
      h("h2", null, "Check the log"),
      h(
        "p",
        null,
        "Your browser computes the hashes of the entries below, and whether they stand under the newest signed head.",
      ),
      h(
        "div",
        { class: "row below" },
        h(
          "button",
          {
            type: "button",
            class: "primary",
            disabled: this.busy !== "" || !HAS_CRYPTO || !KNOWS_SOURCE,
            on: { click: () => this.run() },
          },
          "Check now",
        ),
        this.busy && h("span", { class: "hint", role: "status" }, `Checking ${this.busy} …`),
      ),
      unable(),
      this.problem && h("p", { class: "late" }, this.problem),
      this.steps?.length > 0 && this.results(before),
      this.kept(before),
    );
  }

  results(before) {
    const held = this.held();
    return h(
      "div",
      { class: "checks", data: { held: String(held) } },
      h(
        "p",
        null,
        h(
          "strong",
          null,
          held ? (this.busy ? "Held so far." : "Every check held.") : "A check did not hold.",
        ),
      ),
      h(
        "ul",
        null,
        this.steps.map((one) =>
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
      !held &&
        before &&
        h(
          "p",
          null,
          "Keep what this browser saw before, it is evidence: ",
          copyable(before.note, "the earlier checkpoint"),
        ),
      h(
        "p",
        { class: "hint" },
        "The keys and this page came from the same service, and what was changed before this browser first looked it cannot know. Whoever keeps checkpoints and keys elsewhere can show more: docs/audit-log.md.",
      ),
    );
  }

  kept(before) {
    const clear = () => {
      forget();
      this.page.redraw();
    };
    return h(
      "p",
      { class: "hint" },
      before
        ? [
            `This browser keeps the head of ${before.note.split("\n")[1]} entries, which it saw `,
            time(before.at),
            ", to compare the next one with. ",
            h(
              "button",
              { type: "button", class: "small quiet", on: { click: clear } },
              "Forget it",
            ),
          ]
        : "This browser keeps no earlier head to compare with. The first check keeps one.",
    );
  }
}

function unable() {
  if (!HAS_CRYPTO)
    return h(
      "p",
      { class: "hint" },
      "The browser computes hashes on pages of https only. ",
      h("code", null, "lotus audit check"),
      " does it on the machine itself.",
    );
  if (!KNOWS_SOURCE)
    return h(
      "p",
      { class: "hint" },
      "This browser is too old: it cannot tell how a number was written.",
    );
  return null;
}

function inWords(error) {
  if (error.name === "NotSupportedError") return "This browser knows no Ed25519 signatures.";
  return error instanceof Refusal || error instanceof Error ? told(error) : String(error);
}
