/**
 * Checks a certificate in the browser, as far as a browser can: signatures, the log entry and its
 * place in the log. `app/certificates/verify.py` checks more: that each document has its one form,
 * and that the statement agrees with itself. docs/verifying.md describes the formats.
 */

import { digest, hex } from "./hash.js";

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const ASCII = new TextEncoder();

/** What does not hold, in words. */
export class Flaw extends Error {}

/** @param {unknown} good @param {string} otherwise */
export function must(good, otherwise) {
  if (!good) throw new Flaw(otherwise);
}

/**
 * @param {string} text the bundle as it came
 * @param {{ pem: string }[]} keys
 * @param {string} request that it must be about
 * @returns {Promise<{ name: string, held: boolean, what: string }[]>} up to the first that fails
 */
export async function verify(text, keys, request) {
  const found = [];
  const known = await Promise.all(keys.map(readKey));
  const step = async (name, does) => {
    try {
      found.push({ name, held: true, what: await does() });
    } catch (error) {
      // What cannot be read at all fails in other ways than by a flaw.
      found.push({
        name,
        held: false,
        what: error instanceof Flaw ? error.message : "It cannot be read.",
      });
      throw error;
    }
  };
  let bundle, payload, leaf, proof;
  try {
    await step("bundle", () => {
      bundle = JSON.parse(text);
      must(
        typeof bundle.envelope === "object" &&
          typeof bundle.entry === "string" &&
          typeof bundle.proof === "string",
        "A part of the bundle is missing.",
      );
      return "It has an envelope, a log entry and a proof.";
    });
    await step("signature", async () => {
      payload = bytes(bundle.envelope.payload);
      return signed(bundle.envelope, payload, known);
    });
    await step("entry", async () => {
      leaf = bytes(bundle.entry);
      return sameCertificate(JSON.parse(decode(leaf)), payload, request);
    });
    await step("checkpoint", async () => {
      proof = readProof(bundle.proof);
      return headSigned(proof, known);
    });
    await step("inclusion", async () => {
      await included(await digest(join([0], leaf)), proof);
      return `Entry ${proof.index} stands under that head of ${proof.size} entries.`;
    });
  } catch (error) {
    if (found.at(-1)?.held !== false) throw error;
  }
  return found;
}

/** @param {string} envelope a bundle's text @returns {any} the statement in it */
export function statementOf(text) {
  return JSON.parse(decode(bytes(JSON.parse(text).envelope.payload)));
}

/** @param {{ pem: string }} key as `GET /signing-keys` has it */
export async function readKey({ pem }) {
  const der = bytes(pem.replace(/-----[^-]+-----/g, "").replace(/\s/g, ""));
  const key = await crypto.subtle.importKey("spki", der, { name: "Ed25519" }, false, ["verify"]);
  // An Ed25519 key of 32 bytes ends its SubjectPublicKeyInfo.
  return { id: hex(await digest(der)), key, raw: der.slice(-32) };
}

async function signed(envelope, payload, known) {
  must(
    envelope.payloadType === PAYLOAD_TYPE && envelope.signatures.length === 1,
    "The envelope is not one of ours.",
  );
  const [signature] = envelope.signatures;
  const signer = known.find((one) => one.id === signature.keyid);
  must(signer, "The statement is signed by a key that the service does not show.");
  const head = ASCII.encode(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `);
  must(
    await fits(signer, bytes(signature.sig), join(head, payload)),
    "The signature is not of this statement.",
  );
  return `The statement is signed by key ${signer.id.slice(0, 16)}…`;
}

async function sameCertificate({ kind, facts }, payload, request) {
  const { predicate } = JSON.parse(decode(payload));
  must(kind === "certificates:certificate:written", "The log entry is of another kind.");
  must(
    facts.payload_sha256 === hex(await digest(payload)),
    "The log entry names another statement.",
  );
  must(
    facts.request === predicate.request && facts.request === request,
    "It is about another request.",
  );
  must(facts.controller === predicate.controller, "The log entry names another controller.");
  must(
    facts.certificate === (predicate.certificate ?? facts.certificate),
    "The log entry names another certificate.",
  );
  must(
    facts.replaces === (predicate.replaces?.certificate ?? null),
    "The log entry names another predecessor.",
  );
  return "The log entry names this statement by its SHA-256, and the same ids.";
}

/** C2SP tlog-proof with a checkpoint. */
function readProof(text) {
  const [head, ...rest] = text.split("\n\n");
  const [first, place, ...hashes] = head.split("\n");
  must(
    first === "c2sp.org/tlog-proof@v1" && /^index \d{1,15}$/.test(place),
    "The proof does not have its form.",
  );
  return {
    ...readNote(rest.join("\n\n")),
    index: Number(place.slice(6)),
    hashes: hashes.map(bytes),
  };
}

/** C2SP tlog-checkpoint with one signature. @param {string} text */
export function readNote(text) {
  const note = text.split("\n");
  must(
    note.length === 6 && note[3] === "" && note[5] === "" && /^\d{1,15}$/.test(note[1]),
    "The checkpoint does not have its form.",
  );
  const [origin, size, root, , signature] = note;
  must(signature.startsWith(`\u2014 ${origin} `), "The checkpoint does not have its form.");
  return {
    size: Number(size),
    root: bytes(root),
    origin,
    body: `${origin}\n${size}\n${root}\n`,
    signature: bytes(signature.slice(origin.length + 3)),
  };
}

/** @returns {Promise<string>} what holds, in words */
export async function headSigned({ origin, size, body, signature }, known) {
  for (const one of known) {
    const named = await digest(join(ASCII.encode(`${origin}\n`), [1], one.raw));
    if (hex(named.slice(0, 4)) !== hex(signature.slice(0, 4))) continue;
    must(
      await fits(one, signature.slice(4), ASCII.encode(body)),
      "The signature is not of this head of the log.",
    );
    return `The head of log ${origin} with ${size} entries is signed.`;
  }
  throw new Flaw("The head of the log is signed by a key that the service does not show.");
}

/** RFC 9162, 2.1.3.2. Sizes stay far below 2**53, but not below 2**31: no bit operations. */
export async function included(leafHash, { index, size, hashes, root }) {
  must(index < size, "The entry comes after the head.");
  const half = (number) => Math.floor(number / 2);
  const odd = (number) => number % 2 === 1;
  let place = index;
  let last = size - 1;
  let found = leafHash;
  for (const sibling of hashes) {
    must(last > 0, "The proof is too long.");
    if (odd(place) || place === last) {
      found = await digest(join([1], sibling, found));
      while (!odd(place) && place > 0) {
        place = half(place);
        last = half(last);
      }
    } else found = await digest(join([1], found, sibling));
    place = half(place);
    last = half(last);
  }
  must(last === 0 && hex(found) === hex(root), "The entry does not stand under the signed head.");
}

function fits({ key }, signature, message) {
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

/** @param {string} base64 */
export function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function decode(content) {
  return new TextDecoder("utf-8", { fatal: true }).decode(content);
}

/** @param {...Iterable<number>} parts */
export function join(...parts) {
  return new Uint8Array(parts.flatMap((part) => Array.from(part)));
}
