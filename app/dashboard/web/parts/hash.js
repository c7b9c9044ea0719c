/** Digests. Browsers give them to pages of https and of the machine itself only. */

/** Whether this browser has WebCrypto here. */
export const HAS_CRYPTO = Boolean(globalThis.crypto?.subtle);

/** @param {BufferSource} content @returns {Promise<Uint8Array>} */
export async function digest(content) {
  if (!HAS_CRYPTO) throw new Error("The browser computes digests on pages of https only.");
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content));
}

/** @param {Uint8Array} bytes @returns {string} hexadecimal */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {BufferSource} content @returns {Promise<string>} hexadecimal */
export async function sha256(content) {
  return hex(await digest(content));
}
