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
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 401) throw error;
    present = null;
  }
  return present;
}

/** @param {string} key an API key, which is kept nowhere here @returns {Promise<Session>} */
export async function logIn(key) {
  present = await send("POST", "/session", { key }, { logIn: true });
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
}

/** The session has ended by itself. */
export function forget() {
  present = null;
}
