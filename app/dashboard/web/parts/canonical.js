/**
 * The bytes that the hash of a log entry is over, as `app/canonical.py` writes them: sorted keys, no
 * spaces, ASCII only. A number stands as it came, since `1.0` and `1` are one to a browser and two
 * to a hash.
 */

class Exact {
  constructor(source) {
    this.source = source;
  }
}

/** Whether this browser tells how a number was written. */
export const KNOWS_SOURCE = (() => {
  let told = false;
  JSON.parse("1", (_, value, context) => {
    told = context?.source === "1";
    return value;
  });
  return told;
})();

/** @param {string} text JSON @returns {any} with numbers that `canonical` writes as they stood */
export function parseExact(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === "number" ? new Exact(context.source) : value,
  );
}

/** @param {any} value of `parseExact` @returns {string} */
export function canonical(value) {
  if (value instanceof Exact) return numeral(value.source);
  if (typeof value === "string") return quoted(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return String(value);
  const fields = Object.keys(value).sort();
  return `{${fields.map((name) => `${quoted(name)}:${canonical(value[name])}`).join(",")}}`;
}

function quoted(text) {
  const escaped = (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0");
  return JSON.stringify(text).replace(/[^ -~]/g, escaped);
}

/** As Python writes it: an exponent below 1e-4 and from 1e16 on, with two digits at least. */
function numeral(source) {
  if (/^-?\d+$/.test(source)) return source;
  const value = Number(source);
  if (Object.is(value, -0)) return "-0.0";
  const [digits, power] = value.toExponential().split("e");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16)
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  const plain = String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}
