/** One run: what it works on, how far it is, what its tests showed, and the curves of both. */

import { epochsCard } from "./run/epochs.js";
import { figuresCard } from "./run/figures.js";
import { plotsCard } from "./run/plots.js";
import { ending, settingsCard, standing } from "./run/standing.js";
import { verdictCard } from "./run/verdict.js";
import { Charts } from "../charts/charts.js";
import { badge } from "../parts/badge.js";
import { short } from "../parts/id.js";
import { can } from "../parts/session.js";
import { announce } from "../parts/shell.js";
import { STATES } from "../words.js";

const ENDS = ["succeeded", "rejected", "superseded", "failed"];
const UNHAPPY = ["superseded", "failed"];

/** @param {import("../parts/page.js").Page} page */
export function open(page) {
  const path = `/runs/${encodeURIComponent(page.params.id)}`;
  const charts = new Charts(page);
  let state = null;
  let model = null;
  let plots = null;
  let moves = null;

  async function look(reader) {
    const run = await reader.read(path);
    if (!model && can("registry:read"))
      model = (await reader.tryRead(`/models/${encodeURIComponent(run.model)}`)).data ?? null;
    // They come once, with the verdict, and never change but to be destroyed.
    if (run.verdict && !plots?.data) plots = await reader.tryRead(`${path}/plots`);
    // Why a run ended without a verdict is an entry of the log, among the last if it is new.
    if (UNHAPPY.includes(run.state) && !moves && can("audit:read")) {
      const { data } = await reader.tryRead("/audit/entries?order=newest&limit=200");
      moves = data?.items.filter((one) => one.facts.run === run.id) ?? [];
    }
    return { run, model, plots, moves };
  }

  page.watch(
    look,
    (found) => {
      const { run } = found;
      const name = found.model?.name;
      page.title(name ? `Run of ${name}` : `Run ${short(run.id)}`, badge(run.state));
      if (state !== null && state !== run.state)
        announce(`The run is now ${STATES[run.state]?.[0] ?? run.state}`);
      state = run.state;
      return [
        ending(run, found.moves),
        standing(run, found.model),
        run.verdict && verdictCard(run),
        run.metrics && figuresCard(run),
        run.epochs.length > 0 && epochsCard(run, charts),
        plotsCard(run, found.plots, charts, ENDS.includes(run.state)),
        settingsCard(run),
      ];
    },
    { stream: `${path}/events`, event: "run" },
  );
}
