/**
 * A stream of events says when to look again. It is open only while the page is seen, since a
 * browser allows few connections to one host; without it the page polls as ever.
 */

const AGAIN_MS = 30_000;

/**
 * @param {{ url: string, event: string, changed: () => void, signal: AbortSignal }} options
 * @returns {{ live: () => boolean }} whether the stream is there, so that polls may be rare
 */
export function follow({ url, event, changed, signal }) {
  let source = null;
  let ended = false;
  let timer = 0;

  function open() {
    if (source || ended || signal.aborted || document.hidden) return;
    source = new EventSource(url);
    source.addEventListener(event, changed);
    source.addEventListener("end", () => {
      ended = true;
      close();
      changed();
    });
    source.addEventListener("error", () => {
      // A browser comes back by itself after a break, but not after a refusal.
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      timer = setTimeout(open, AGAIN_MS);
    });
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()), {
    signal,
  });
  signal.addEventListener("abort", close);
  open();
  return { live: () => ended || source?.readyState === EventSource.OPEN };
}
