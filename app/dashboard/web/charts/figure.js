/**
 * What a chart shows, in terms of the chart; `plotly` alone knows how it is drawn. Series differ by
 * dash and marker as well as by colour.
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {number[]} x
 * @property {(number | null)[]} y
 * @property {number} style of `STYLES`
 * @property {"line" | "points" | "steps" | "bars"} [kind] `steps`: y holds from its x to the next
 *
 * @typedef {object} Axis
 * @property {string} title with the unit
 * @property {[number, number]} [range]
 * @property {string} [format] of d3, as in `.0%`
 * @property {boolean} [whole] ticks at whole numbers only
 * @property {number} [step] between ticks
 *
 * @typedef {{ x: Axis, y: Axis, series: Series[] }} Spec
 */

import { h, svg } from "../parts/h.js";

/** The last ones are references: a target, a diagonal. */
export const STYLES = [
  { colour: "--series-1", dash: "solid", marker: "circle" },
  { colour: "--series-2", dash: "dash", marker: "square" },
  { colour: "--series-3", dash: "dot", marker: "diamond" },
  { colour: "--series-4", dash: "dashdot", marker: "x" },
  { colour: "--reference", dash: "dash", marker: null },
  { colour: "--reference", dash: "dot", marker: null },
];
export const REFERENCE = 4;
export const SECOND_REFERENCE = 5;

const DASHES = { solid: null, dash: "6 4", dot: "2 3", dashdot: "7 3 2 3" };
const SHAPES = {
  circle: "M16 6m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
  square: "M13.5 3.5h5v5h-5z",
  diamond: "M16 2.5 19.5 6 16 9.5 12.5 6z",
  x: "M13 3 19 9M19 3 13 9",
};
const MOST_MARKERS = 40;
/** What lies on something else is smaller than it. */
const POINT_SIZES = [8, 14, 8, 8, 8, 8];

/** @param {Series} series */
function marked(series) {
  if (series.kind === "points") return true;
  const kind = series.kind ?? "line";
  return kind === "line" && STYLES[series.style].marker !== null && series.x.length <= MOST_MARKERS;
}

/** @param {Spec} spec */
export function legend(spec) {
  return h(
    "ul",
    { class: "legend" },
    spec.series.map((one) => h("li", null, swatch(one), one.name)),
  );
}

function swatch(series) {
  const { dash, marker } = STYLES[series.style];
  const line =
    series.kind === "bars"
      ? svg("rect", { x: 8, y: 0, width: 16, height: 12, class: "filled" })
      : series.kind !== "points" && svg("path", { d: "M0 6H32", "stroke-dasharray": DASHES[dash] });
  return svg(
    "svg",
    {
      viewBox: "0 0 32 12",
      class: "swatch",
      "aria-hidden": "true",
      focusable: "false",
      data: { series: series.style },
    },
    line,
    marked(series) && svg("path", { d: SHAPES[marker], class: marker === "x" ? null : "filled" }),
  );
}

/** @param {Spec} spec @param {(name: string) => string} colour of a variable */
export function toPlotly(spec, colour) {
  return {
    traces: spec.series.map((one) => trace(one, colour)),
    layout: {
      autosize: true,
      margin: { l: 56, r: 12, t: 8, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: colour("--sans"), size: 12, color: colour("--text") },
      showlegend: false,
      bargap: 0.05,
      hovermode: "closest",
      hoverlabel: {
        bgcolor: colour("--raised"),
        bordercolor: colour("--line-strong"),
        font: { color: colour("--text") },
      },
      xaxis: axis(spec.x, colour),
      yaxis: axis(spec.y, colour),
    },
    config: { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false },
  };
}

function trace(series, colour) {
  const { colour: name, dash, marker } = STYLES[series.style];
  const shown = { name: series.name, x: series.x, y: series.y, hovertemplate: HOVER };
  const painted = colour(name);
  if (series.kind === "bars") return { ...shown, type: "bar", marker: { color: painted } };
  return {
    ...shown,
    type: "scatter",
    mode: series.kind === "points" ? "markers" : marked(series) ? "lines+markers" : "lines",
    connectgaps: false,
    line: {
      color: painted,
      dash,
      width: marker === null ? 1.5 : 2,
      shape: series.kind === "steps" ? "hv" : "linear",
    },
    marker: {
      symbol: marker ?? "circle",
      size: series.kind === "points" ? POINT_SIZES[series.style] : 7,
      color: painted,
    },
  };
}

// The box beside the name is Plotly's own and would cover half of a small chart.
const HOVER = "%{x}, %{y}<extra>%{fullData.name}</extra>";

function axis({ title, range, format, whole, step }, colour) {
  return {
    title: { text: title, standoff: 8 },
    range,
    autorange: range ? false : true,
    fixedrange: true,
    automargin: true,
    tickformat: format,
    hoverformat: format === ".0%" ? ".1%" : whole ? undefined : ".4~g",
    ...ticks(range, whole, step),
    gridcolor: colour("--line"),
    linecolor: colour("--line-strong"),
    tickcolor: colour("--line-strong"),
    zeroline: false,
    showline: true,
  };
}

function ticks(range, whole, step) {
  if (whole) return { tickformat: "d", tick0: 1, dtick: stepOf(range) };
  return step ? { tick0: 0, dtick: step } : { nticks: 6 };
}

/** Whole steps, about eight of them. */
function stepOf(range) {
  const wide = range ? range[1] - range[0] : 8;
  return Math.max(1, Math.ceil(wide / 8));
}
