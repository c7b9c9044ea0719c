/** Who is logged in, and what they may do. The service checks again; this decides what is shown. */

import { get, Refusal, send } from "./api.js";

/**
 * @typedef {object} Session
 * @property {{ id: string, name: string }} key
 * @property {{ id: string, name: string }} controller
 * @property {string[]} scopes
 * @property {string | null} expires_at
 */

/** @type {Session | null} */
let present = null;
let lost = false;

// All windows of this browser share one cookie: what one of them does to it concerns the others.
const windows = new BroadcastChannel("lotus-session");

/** @param {() => void} does what happens when another window has logged in or out */
export function whenChangedElsewhere(does) {
  windows.onmessage = does;
}

/** The service let the browser in, and the next call does not show it. */
export class NotKept extends Error {
  constructor() {
    super(
      "The key is valid, and the browser did not keep the session. Either it takes no cookies from this address, or it holds another one of that name, or the service is to be called by https.",
    );
  }
}

/** @returns {Session | null} */
export function session() {
  return present;
}

/** @param {string} scope @returns {boolean} */
export function can(scope) {
  return present?.scopes.includes(scope) ?? false;
}

/** Finds out whether the browser holds a session. @returns {Promise<Session | null>} */
export async function resume() {
  try {
    present = await get("/session", { logIn: true });
    lost = false;
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 401) throw error;
    present = null;
  }
  return present;
}

/** @param {string} key an API key, which is kept nowhere here @returns {Promise<Session>} */
export async function logIn(key) {
  await send("POST", "/session", { key }, { logIn: true });
  if (!(await resume())) throw new NotKept();
  windows.postMessage("in");
  return present;
}

export async function logOut() {
  try {
    await send("DELETE", "/session", undefined, { logIn: true });
  } catch (error) {
    // Whoever has no session any more is logged out.
    if (!(error instanceof Refusal) || error.status !== 401) throw error;
  }
  present = null;
  lost = false;
  windows.postMessage("out");
}

/** The session has ended by itself. */
export function forget() {
  present = null;
  lost = true;
}

/** @returns {boolean} whether that is why nobody is logged in */
export function wasLost() {
  return lost;
}
