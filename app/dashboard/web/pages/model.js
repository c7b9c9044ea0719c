/** One model: its versions and how they came, what each cost and brought, policy, who pulled it. */

import { lineageCard } from "./model/lineage.js";
import { pauseCard } from "./model/pause.js";
import { policyCard } from "./model/policy.js";
import { recheckCard } from "./model/rechecks.js";
import { pullsCard } from "./model/pulls.js";
import { rollbacksCard } from "./model/rollback.js";
import { overVersionsCard } from "./model/over_versions.js";
import { standing } from "./model/standing.js";
import { Charts } from "../charts/charts.js";
import { badge } from "../parts/badge.js";
import { can } from "../parts/session.js";

const PACE_MS = 5_000;
const REST_MS = 20_000;
/** Figures of the newest versions only: each is a call of its own, made once. */
const MOST_FIGURES = 30;

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const path = `/models/${encodeURIComponent(page.params.id)}`;
  const charts = new Charts(page);
  const reports = new Map();
  let rest = null;
  let of = null;
  let readAt = 0;

  async function look(reader) {
    const model = await reader.read(path);
    if (model !== of || Date.now() - readAt > REST_MS) {
      const versions = await reader.read(`${path}/versions?limit=200`);
      for (const one of versions.items.filter(({ run }) => run).slice(0, MOST_FIGURES))
        if (!reports.has(one.id))
          reports.set(one.id, (await reader.read(`${path}/versions/${one.number}`)).metrics);
      rest = {
        versions: versions.items,
        more: versions.next_cursor !== null,
        pulls: await reader.read(`${path}/recipients?limit=200`),
        rechecks: can("requests:read") ? await reader.read(`${path}/rechecks?limit=20`) : null,
        rollbacks: await reader.read(`${path}/rollbacks?limit=20`),
      };
      of = model;
      readAt = Date.now();
    }
    return { model, ...rest };
  }

  const lookAnew = () => {
    of = null;
    again();
  };
  const again = page.watch(
    look,
    ({ model, versions, more, pulls, rechecks, rollbacks }) => {
      page.title(model.name, badge(model.state));
      return [
        pauseCard(model, lookAnew),
        standing(model),
        lineageCard(model, versions, more, lookAnew),
        overVersionsCard(versions, reports, charts),
        policyCard(model),
        pullsCard(pulls),
        recheckCard(rechecks?.items ?? null),
        rollbacksCard(rollbacks.items),
      ];
    },
    { pace: PACE_MS },
  );
}
