/**
 * Elements without markup: text stays text, whatever it holds.
 *
 * `h("a", { class: "id", href: link("requests", id) }, id)` makes an element. `render` makes the
 * children of an element equal to new ones and keeps those that are there already, so that focus,
 * scroll, an open `<details>` and a half-typed field survive a poll.
 */

const HANDLERS = Symbol("handlers");
const KEY = Symbol("key");
const VALUE = Symbol("value");
const KEPT = Symbol("kept");
const SVG = "http://www.w3.org/2000/svg";
// Where an address may lead: this page, this service, or a file that was made here.
const ADDRESS = /^(#|\.{0,2}\/(?![/\\])|blob:)[^\0-\x20]*$/;

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

/**
 * @param {string} tag
 * @param {Record<string, any> | null} [props] Attributes; and `on` (handlers by event), `data`,
 *   `style` (properties by name), `value`, `checked`, `key` (identity among siblings), `kept` (its
 *   children belong to somebody else and are left alone by `render`)
 * @param {...Child} children
 * @returns {any} the element
 */
export function h(tag, props = null, ...children) {
  return build(document.createElement(tag), props, children);
}

/** The same for the elements of SVG. @returns {SVGElement} */
export function svg(tag, props = null, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  element.append(...flat(children));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on")
    for (const [event, does] of Object.entries(value)) handle(element, event, does);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "style")
    for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
  else if (name === "key") element[KEY] = String(value);
  else if (name === "kept") element[KEPT] = true;
  else if (name === "value" || name === "checked") {
    element[name] = value;
    element[VALUE] = value;
  } else if (/^(on|srcdoc$|style$)/i.test(name)) throw new Error(`not an attribute: ${name}`);
  else if (/^(href|src|action|formaction)$/.test(name) && !ADDRESS.test(value))
    throw new Error(`an address that leads elsewhere, in ${name}`);
  else element.setAttribute(name, value === true ? "" : String(value));
}

function handle(element, event, does) {
  if (!element[HANDLERS]) element[HANDLERS] = {};
  if (!(event in element[HANDLERS]))
    element.addEventListener(event, (happened) => element[HANDLERS][event]?.(happened));
  element[HANDLERS][event] = does;
}

/** @param {Child[]} children @returns {Node[]} */
function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/**
 * @param {Element} parent
 * @param {...Child} children what it holds from now on
 */
export function render(parent, ...children) {
  const wanted = flat(children);
  const keyed = new Map();
  const others = [];
  for (const old of parent.childNodes)
    if (old[KEY] === undefined) others.push(old);
    else keyed.set(old[KEY], old);
  let place = parent.firstChild;
  for (const node of wanted) {
    const old = take(node, keyed, others);
    if (old) patch(old, node);
    const stays = old ?? node;
    if (stays === place) place = place.nextSibling;
    else parent.insertBefore(stays, place);
  }
  for (const left of [...keyed.values(), ...others]) left.remove();
}

function take(node, keyed, others) {
  if (node[KEY] !== undefined) {
    const old = keyed.get(node[KEY]);
    if (old?.nodeName !== node.nodeName) return undefined;
    keyed.delete(node[KEY]);
    return old;
  }
  const at = others.findIndex((old) => old.nodeName === node.nodeName);
  return at < 0 ? undefined : others.splice(at, 1)[0];
}

function patch(old, node) {
  if (old === node) return;
  if (!(node instanceof Element)) {
    if (old.nodeValue !== node.nodeValue) old.nodeValue = node.nodeValue;
    return;
  }
  patchAttributes(old, node);
  const handlers = node[HANDLERS] ?? {};
  for (const event of Object.keys(old[HANDLERS] ?? {}))
    if (!(event in handlers)) old[HANDLERS][event] = undefined;
  for (const [event, does] of Object.entries(handlers)) handle(old, event, does);
  if (!node[KEPT]) render(old, ...node.childNodes);
  // After the children: a select has its options by now.
  if (node[VALUE] !== old[VALUE]) {
    old[VALUE] = node[VALUE];
    if (old.type === "checkbox" || old.type === "radio") old.checked = Boolean(node[VALUE]);
    else old.value = node[VALUE] ?? "";
  }
}

function patchAttributes(old, node) {
  for (const { name, value } of [...node.attributes])
    if (name === "style") {
      if (old.style.cssText !== node.style.cssText) old.style.cssText = node.style.cssText;
    } else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes])
    // Whether a reader has opened it is the reader's.
    if (!node.hasAttribute(name) && name !== "open") old.removeAttribute(name);
}

/**
 * An address of a page: `link("requests", id)`, or with a query `link("requests", { state })`.
 * @param {...(string | Record<string, string | string[] | null | undefined> | URLSearchParams)} parts
 * @returns {string}
 */
export function link(...parts) {
  const words = parts.filter((part) => typeof part === "string");
  const query = parts.find((part) => typeof part === "object");
  const path = "#/" + words.map(encodeURIComponent).join("/");
  const text = query ? queryText(query) : "";
  return text ? `${path}?${text}` : path;
}

/** @returns {string} `a=1&b=2&b=3`, without what is empty */
export function queryText(query) {
  if (query instanceof URLSearchParams) return query.toString();
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    for (const one of [value].flat())
      if (one !== null && one !== undefined && one !== "") found.append(name, one);
  return found.toString();
}
