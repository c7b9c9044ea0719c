/** Calls of the API. The session's cookie goes along by itself; no key is ever kept here. */

export const API = new URL("../api/v1", document.baseURI).pathname;

/** The service answered, and said no (RFC 9457). */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {{ type?: string, title?: string, detail?: string, errors?: { field: string, message: string }[] }} problem
   * @param {number | null} retryAfter seconds
   */
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.title ?? `The service answered ${status}.`);
    this.status = status;
    this.code = (problem.type ?? "").split(":").pop();
    this.title = problem.title ?? "Refused";
    this.errors = problem.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** The service did not answer, or something between did in its place. */
export class Unreachable extends Error {
  constructor() {
    super("The service does not answer.");
  }
}

/** @type {() => void} */
let signedOut = () => {};

/** @param {() => void} does what happens when a call finds the session gone */
export function whenSignedOut(does) {
  signedOut = does;
}

/**
 * @param {string} method
 * @param {string} path below `/api/v1`
 * @param {{ body?: unknown, signal?: AbortSignal, headers?: Record<string, string>, logIn?: boolean }} [options]
 * @returns {Promise<Response>} an answer of 2xx, or a 304
 */
export async function call(method, path, { body, signal, headers = {}, logIn = false } = {}) {
  let answer;
  try {
    answer = await fetch(API + path, {
      method,
      signal,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (answer.ok || answer.status === 304) return answer;
  const said = answer.headers.get("Content-Type") ?? "";
  if (!said.startsWith("application/problem+json") && answer.status >= 500) throw new Unreachable();
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !logIn) signedOut();
  throw new Refusal(answer.status, problem, seconds(answer.headers.get("Retry-After")));
}

/** @param {string | null} text @returns {number | null} */
function seconds(text) {
  if (text === null) return null;
  const number = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(number) ? Math.max(0, number) : null;
}

/** @returns {Promise<any>} */
export async function get(path, options) {
  return (await call("GET", path, options)).json();
}

/** @returns {Promise<any>} the answer's document, or null where it has none */
export async function send(method, path, body, options) {
  const answer = await call(method, path, { ...options, body });
  return answer.status === 204 ? null : answer.json();
}

/**
 * Reads that ask for what is new only: an answer that has not changed is the very same object.
 */
export class Reader {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    this.known = new Map();
    /** Whether anything read since it was last set to false was new. */
    this.changed = false;
  }

  /** @param {string} path @returns {Promise<any>} */
  async read(path) {
    const before = this.known.get(path);
    const headers = before?.tag ? { "If-None-Match": before.tag } : {};
    const answer = await call("GET", path, { signal: this.signal, headers });
    if (answer.status === 304 && before) return before.data;
    const text = await answer.text();
    if (before?.text === text) return before.data;
    const data = JSON.parse(text);
    this.known.set(path, { tag: answer.headers.get("ETag"), text, data });
    this.changed = true;
    return data;
  }

  /**
   * What a page can do without: a refusal comes back in place of the data.
   * @param {string} path
   * @returns {Promise<{ data?: any, refusal?: Refusal }>}
   */
  async tryRead(path) {
    try {
      return { data: await this.read(path) };
    } catch (error) {
      if (
        !(error instanceof Refusal) ||
        error.status === 401 ||
        error.status === 429 ||
        error.status >= 500
      )
        throw error;
      if (this.known.get(path)?.code !== error.code) {
        this.known.set(path, { code: error.code });
        this.changed = true;
      }
      return { refusal: error };
    }
  }
}
