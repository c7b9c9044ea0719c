import { h } from "../parts/h.js";
export function open(page) { page.watch((reader) => reader.read(`/erasure-requests/${page.params.id}`), (r) => h("pre", null, JSON.stringify(r, null, 1))); }
