/**
 * Looking again and again: every 2 s while the page is seen, every 30 s while it is not, one look
 * at a time. A service that does not answer is asked ever more rarely, up to once a minute.
 */

import { Refusal, Unreachable } from "./api.js";
import { connection } from "./connection.js";

export const SEEN_MS = 2_000;
export const HIDDEN_MS = 30_000;
const LONGEST_MS = 60_000;

/**
 * @param {{
 *   look: () => Promise<void>,
 *   failed: (error: Error) => void,
 *   signal: AbortSignal,
 *   pace?: () => number | null,
 * }} options `failed` hears of refusals that are no matter of waiting; `pace` gives another pause
 *   than 2 s while the page is seen
 * @returns {() => void} looks at once
 */
export function poll({ look, failed, signal, pace = () => null }) {
  let timer = 0;
  let looking = false;
  let again = false;
  let failures = 0;
  /** Until when the service asked not to be called, but by a person who wants to know. */
  let quietUntil = 0;

  async function turn() {
    if (signal.aborted) return;
    if (looking) {
      again = true;
      return;
    }
    clearTimeout(timer);
    looking = true;
    again = false;
    const pause = await outcome();
    looking = false;
    if (!signal.aborted) timer = setTimeout(turn, again ? 0 : pause);
  }

  async function outcome() {
    try {
      await look();
      failures = 0;
      connection.restored();
      return document.hidden ? HIDDEN_MS : (pace() ?? SEEN_MS);
    } catch (error) {
      if (signal.aborted) return 0;
      if (error instanceof Unreachable || (error instanceof Refusal && error.status >= 500)) {
        const asked = error instanceof Refusal && error.retryAfter !== null;
        const pause = asked ? quiet(error.retryAfter * 1000) : backOff(failures++);
        connection.lost(pause, turn);
        return pause;
      }
      if (!(error instanceof Refusal)) {
        // A fault of the page's own: it is told, and the next look may do better.
        console.error(error);
        failed(error);
        return HIDDEN_MS;
      }
      if (error.status === 429) {
        const pause = quiet(Math.max((error.retryAfter ?? 10) * 1000, SEEN_MS));
        connection.slowed(pause, turn);
        return pause;
      }
      connection.restored();
      failed(error);
      return HIDDEN_MS;
    }
  }

  function quiet(ms) {
    quietUntil = performance.now() + ms;
    return ms;
  }

  const woken = () => {
    if (!document.hidden && performance.now() >= quietUntil) turn();
  };
  document.addEventListener("visibilitychange", woken, { signal });
  window.addEventListener("online", woken, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
  return turn;
}

/** Twice as long each time, and not all browsers at the same moment. */
function backOff(failures) {
  return Math.min(SEEN_MS * 2 ** failures, LONGEST_MS) * (0.75 + Math.random() / 2);
}
