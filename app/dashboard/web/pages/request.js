/** One request: where it stands, what can be done, what was measured, and the evidence. */

import { certificateCard } from "./request/certificate.js";
import { decisionsCard } from "./request/decisions.js";
import { itemsCard } from "./request/items.js";
import { messagesCard, recipientsCard } from "./request/others.js";
import { standing } from "./request/standing.js";
import { timelineCard } from "./request/timeline.js";
import { badge } from "../parts/badge.js";
import { short } from "../parts/id.js";
import { can } from "../parts/session.js";
import { announce } from "../parts/shell.js";
import { STATES } from "../words.js";

const REST_MS = 15_000;
const MOST_PAGES = 10;

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const id = encodeURIComponent(page.params.id);
  const path = `/erasure-requests/${id}`;
  let rest = null;
  let of = null;
  let readAt = 0;
  let state = null;
  // Filled in by what the reader of the page does here, such as a check of the certificate.
  const kept = {};

  async function look(reader, told) {
    const request = await reader.read(path);
    // What follows changes with the request, or slowly, but for what a run and the sealer do.
    if (told || request !== of || Date.now() - readAt > REST_MS) {
      rest = {
        entries: can("audit:read") ? await allEntries(reader, id) : null,
        runs: await itsRuns(reader, request),
        certificates: await reader.read(`${path}/certificates`),
        recipients: await reader.read(`${path}/recipients`),
        messages: can("webhooks:admin")
          ? (await reader.tryRead(`/webhooks/deliveries?request=${id}&limit=100`)).data
          : null,
      };
      of = request;
      readAt = Date.now();
    } else if (isMoving({ request, ...rest }))
      rest = {
        ...rest,
        runs: await itsRuns(reader, request),
        certificates: await reader.read(`${path}/certificates`),
      };
    return { request, ...rest };
  }

  const again = page.watch(
    look,
    (found) => {
      const { request } = found;
      page.title(request.external_id ?? short(request.id), badge(request.state));
      if (state !== null && state !== request.state)
        announce(`The request is now ${STATES[request.state]?.[0]}`);
      state = request.state;
      return [
        standing(request, again),
        itemsCard(request, found.runs, again),
        certificateCard(request, found.certificates.items, kept, page),
        timelineCard(found.entries, request.items),
        decisionsCard(request),
        recipientsCard(found.recipients),
        messagesCard(found.messages, again),
      ];
    },
    { stream: `${path}/events`, event: "request", restless: isMoving },
  );
}

/** Whether something goes on that the request itself does not show. */
function isMoving({ request, certificates }) {
  return (
    request.state === "running" || certificates.items.some(({ state }) => state === "unsigned")
  );
}

/** The runs of its items, by id: what they measured, or how far they are. */
async function itsRuns(reader, { items }) {
  const runs = {};
  for (const run of new Set(items.map((one) => one.run).filter(Boolean)))
    runs[run] = (await reader.tryRead(`/runs/${encodeURIComponent(run)}`)).data;
  return runs;
}

/** The log's entries of one request are few; those of a long case need several pages. */
async function allEntries(reader, id) {
  const entries = [];
  let cursor = "";
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const { data } = await reader.tryRead(
      `/audit/entries?request=${id}&limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
    );
    if (!data) return null;
    entries.push(...data.items);
    if (!data.next_cursor) break;
    cursor = data.next_cursor;
  }
  return entries;
}
