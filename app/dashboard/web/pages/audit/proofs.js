/** Checks of the log that a browser can make by itself. Formats: docs/audit-log.md. */

import { call, get } from "../../parts/api.js";
import { canonical, parseExact } from "../../parts/canonical.js";
import { digest, hex } from "../../parts/hash.js";
import { Flaw, headSigned, included, join, must, readKey, readNote } from "../../parts/verify.js";

const TEXT = new TextEncoder();

/** The newest signed head. @param {AbortSignal} signal @returns {Promise<{ text: string, note: any, said: string }>} */
export async function signedHead(signal) {
  const { text } = await call("GET", "/audit/checkpoint", { signal, headers: ANY });
  const { items } = await get("/signing-keys", { signal });
  const note = readNote(text);
  return { text, note, said: await headSigned(note, await Promise.all(items.map(readKey))) };
}

const ANY = { Accept: "*/*" };

/**
 * That the log goes on from what this browser saw before.
 * @param {string} before the note that was kept
 * @param {any} now as `readNote` gives it
 * @param {AbortSignal} signal
 * @returns {Promise<string>} what holds, in words
 */
export async function goesOn(before, now, signal) {
  const old = readNote(before);
  must(old.origin === now.origin, `It is another log: this browser saw ${old.origin} before.`);
  must(
    now.size >= old.size,
    `The log has become shorter: this browser saw ${old.size} entries before.`,
  );
  if (old.size === 0) return "The log was empty when this browser saw it last.";
  if (now.size === old.size) {
    must(hex(now.root) === hex(old.root), "The same number of entries has another root.");
    return `The log is as this browser saw it last: ${old.size} entries.`;
  }
  const { hashes } = await get(`/audit/proof/consistency?old=${old.size}&new=${now.size}`, {
    signal,
  });
  await consistent(old, now, hashes.map(fromHex));
  return `The ${old.size} entries that this browser saw last stand unchanged at the beginning of these ${now.size}.`;
}

/** RFC 9162, 2.1.4.2, for an old tree that is smaller. No bit operations: sizes go beyond 2**31. */
export async function consistent(old, now, hashes) {
  const path = isPowerOfTwo(old.size) ? [old.root, ...hashes] : hashes;
  must(path.length > 0, "The proof is too short.");
  const half = (number) => Math.floor(number / 2);
  let first = old.size - 1;
  let second = now.size - 1;
  while (first % 2 === 1) [first, second] = [half(first), half(second)];
  let [older, newer] = [path[0], path[0]];
  for (const one of path.slice(1)) {
    must(second > 0, "The proof is too long.");
    if (first % 2 === 1 || first === second) {
      older = await digest(join([1], one, older));
      newer = await digest(join([1], one, newer));
      while (first % 2 === 0 && first > 0) [first, second] = [half(first), half(second)];
    } else newer = await digest(join([1], newer, one));
    [first, second] = [half(first), half(second)];
  }
  must(
    second === 0 && hex(older) === hex(old.root) && hex(newer) === hex(now.root),
    "What this browser saw last is not the beginning of this log: something was changed.",
  );
}

function isPowerOfTwo(number) {
  return Number.isInteger(Math.log2(number)) && 2 ** Math.log2(number) === number;
}

function fromHex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/**
 * One page of entries: each hashed here, and proved to stand under the signed head.
 * @param {string} path of the page
 * @param {any} head as `readNote` gives it
 * @param {{ signal: AbortSignal, done: (entry: any, flaw: string | null) => void }} options
 *   `entry.facts` are those that were hashed
 * @returns {Promise<number>} how many come after the head
 */
export async function checkEntries(path, head, { signal, done }) {
  const { text } = await call("GET", path, { signal });
  const exact = parseExact(text).items;
  const { items } = JSON.parse(text);
  let later = 0;
  for (const [at, entry] of items.entries()) {
    if (entry.index >= head.size) {
      later += 1;
      continue;
    }
    try {
      await checkEntry(exact[at], entry, head, signal);
      done(entry, null);
    } catch (error) {
      if (!(error instanceof Flaw)) throw error;
      done(entry, error.message);
    }
  }
  return later;
}

async function checkEntry(exact, entry, head, signal) {
  const leaf = canonical({ facts: exact.facts, kind: exact.kind, time: exact.created_at });
  const hash = await digest(join([0], TEXT.encode(leaf)));
  must(hex(hash) === entry.leaf_hash, "What is shown does not give the hash of the entry.");
  const { hashes } = await get(
    `/audit/proof/inclusion?index=${entry.index}&tree_size=${head.size}`,
    { signal },
  );
  await included(hash, { ...head, index: entry.index, hashes: hashes.map(fromHex) });
}
