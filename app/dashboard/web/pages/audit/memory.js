/** The last signed head that this browser saw. It holds sizes, a hash and a signature: no data. */

const STORED = "lotus-checkpoint";

/** @returns {{ note: string, at: string } | null} */
export function remembered() {
  try {
    const found = JSON.parse(localStorage.getItem(STORED) ?? "null");
    return typeof found?.note === "string" && typeof found.at === "string" ? found : null;
  } catch {
    return null;
  }
}

/** @param {string} note @returns {boolean} whether it could be kept */
export function remember(note) {
  try {
    localStorage.setItem(STORED, JSON.stringify({ note, at: new Date().toISOString() }));
    return true;
  } catch {
    return false;
  }
}

export function forget() {
  try {
    localStorage.removeItem(STORED);
  } catch {
    // Storage is switched off, so nothing was kept.
  }
}
