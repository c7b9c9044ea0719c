/**
 * What a page module is handed: `export function open(page) { ... }`. Everything that it starts ends
 * when the reader goes elsewhere.
 */

import { API, Reader } from "./api.js";
import { follow } from "./follow.js";
import { render } from "./h.js";
import { poll, HIDDEN_MS } from "./poll.js";
import { can } from "./session.js";
import { loading, refused } from "./states.js";

export class Page {
  /**
   * @param {{ body: HTMLElement, heading: HTMLElement, beside: HTMLElement, params: Record<string, string>, query: URLSearchParams, scope: string | null, signal: AbortSignal }} place
   */
  constructor({ body, heading, beside, params, query, scope, signal }) {
    /** Ids that stand in the address. */
    this.params = params;
    this.query = query;
    this.signal = signal;
    this.scope = scope;
    this.body = body;
    this.heading = heading;
    this.beside = beside;
    this.redraw = () => {};
  }

  /** @param {string} text of the heading and the window @param {...import("./h.js").Child} beside */
  title(text, ...beside) {
    if (this.signal.aborted) return;
    if (this.heading.textContent !== text) this.heading.textContent = text;
    document.title = `${text} · LoTUS`;
    render(this.beside, ...beside);
  }

  /** @param {...import("./h.js").Child} children what the page holds from now on */
  show(...children) {
    if (this.signal.aborted) return;
    const focused = document.activeElement;
    const inside = this.body.contains(focused);
    render(this.body, ...children);
    // Whoever stood on what is gone would begin again at the top of the window.
    if (inside && !focused.isConnected) this.heading.focus({ preventScroll: true });
  }

  /**
   * Looks again and again, and shows what has changed.
   * @template T
   * @param {(read: Reader) => Promise<T>} look reads what the page shows, one call at a time
   * @param {(data: T) => import("./h.js").Child} draw makes the page of it
   * @param {{ stream?: string, event?: string, restless?: (data: T) => boolean, pace?: number, around?: (inside: import("./h.js").Child) => import("./h.js").Child }} [options]
   *   `stream`: a path of events named `event`, which make polls rare, but for what is `restless` in
   *   ways that the stream does not tell of; `pace`: ms between looks that are not urgent; `around`:
   *   what stays whatever comes of a look, such as a filter
   * @returns {() => void} looks at once
   */
  watch(
    look,
    draw,
    { stream, event, restless = () => false, pace, around = (inside) => inside } = {},
  ) {
    const reader = new Reader(this.signal);
    let data;
    let known = false;
    this.redraw = () => known && this.show(around(draw(data)));
    this.show(around(loading()));
    let live = () => false;
    const again = poll({
      signal: this.signal,
      pace: () => (live() && !restless(data) ? HIDDEN_MS : (pace ?? null)),
      look: async () => {
        const told = reader.told;
        reader.told = false;
        try {
          data = await look(reader, told);
        } catch (error) {
          // What was read before it failed is not shown yet, and will not be new again.
          reader.told ||= told;
          throw error;
        }
        if (!reader.changed && known) return;
        known = true;
        this.show(around(draw(data)));
        reader.changed = false;
      },
      failed: (refusal) => {
        known = false;
        this.show(around(refused(refusal, can(this.scope) ? null : this.scope)));
      },
    });
    const changed = () => {
      reader.told = true;
      again();
    };
    if (stream) live = follow({ url: API + stream, event, changed, signal: this.signal }).live;
    return again;
  }
}
