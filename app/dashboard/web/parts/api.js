/** Calls of the API. The session's cookie goes along by itself; no key is ever kept here. */

import { heard, now } from "./now.js";

export const API = new URL("../api/v1", document.baseURI).pathname;

/** A service that hangs is as good as gone. What changes something is given longer, as nobody would
 *  know whether it was done. */
const READ_MS = 20_000;
const WRITE_MS = 60_000;

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
  /** @param {boolean} [open] whether something may have been done all the same */
  constructor(open = false) {
    super(
      open
        ? "No answer came. It is not known whether this was done: look before you try again."
        : "The service does not answer.",
    );
  }
}

/** @type {() => void} */
let signedOut = () => {};

/** @param {() => void} does what happens when a call finds the session gone */
export function whenSignedOut(does) {
  signedOut = does;
}

/**
 * An answer that has come whole.
 * @typedef {{ status: number, headers: Headers, text: string }} Answer
 *
 * @param {string} method
 * @param {string} path below `/api/v1`
 * @param {{ body?: unknown, signal?: AbortSignal, headers?: Record<string, string>, logIn?: boolean }} [options]
 * @returns {Promise<Answer>} one of 2xx, or a 304
 */
export async function call(method, path, { body, signal, headers = {}, logIn = false } = {}) {
  const open = method !== "GET" && !logIn;
  let answer, text;
  const bounds = bounded(signal, method === "GET" ? READ_MS : WRITE_MS);
  try {
    answer = await fetch(API + path, {
      method,
      signal: bounds.signal,
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
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable(open);
  } finally {
    bounds.end();
  }
  const { status, headers: said } = answer;
  heard(said.get("Date"));
  if (answer.ok || status === 304) return { status, headers: said, text };
  const ours = (said.get("Content-Type") ?? "").startsWith("application/problem+json");
  if (!ours && status >= 500) throw new Unreachable(open);
  if (status === 401 && !logIn) signedOut();
  throw new Refusal(status, problemIn(text), seconds(said.get("Retry-After")));
}

/** Ends with the caller's signal, or when the time is over. */
function bounded(signal, ms) {
  const ending = new AbortController();
  const stop = () => ending.abort();
  const timer = setTimeout(stop, ms);
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  return {
    signal: ending.signal,
    end() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    },
  };
}

function problemIn(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** What is no JSON was not said by the service: something between answered in its place. */
function documentIn(text, open = false) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Unreachable(open);
  }
}

/** @param {string | null} text @returns {number | null} */
function seconds(text) {
  if (text === null) return null;
  const number = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - now()) / 1000;
  return Number.isFinite(number) ? Math.max(0, number) : null;
}

/** @returns {Promise<any>} */
export async function get(path, options) {
  return documentIn((await call("GET", path, options)).text);
}

/** @returns {Promise<any>} the answer's document, or null where it has none */
export async function send(method, path, body, options) {
  const answer = await call(method, path, { ...options, body });
  return answer.status === 204 ? null : documentIn(answer.text, !options?.logIn);
}

/**
 * Reads that ask for what is new only: an answer that has not changed is the very same object.
 */
export class Reader {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    this.known = new Map();
    /** Whether anything read since it was last shown was new. */
    this.changed = false;
    /** Whether a stream told of a change since then. */
    this.told = false;
  }

  /** @param {string} path @returns {Promise<any>} */
  async read(path) {
    const before = this.known.get(path);
    const headers = before?.tag ? { "If-None-Match": before.tag } : {};
    const answer = await call("GET", path, { signal: this.signal, headers });
    if (answer.status === 304 && before) return before.data;
    const { text } = answer;
    if (before?.text === text) return before.data;
    const data = documentIn(text);
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
