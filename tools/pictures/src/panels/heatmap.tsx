/** Heat map: a cell for each bucket and moment, coloured by its count. */
import { formattedValueToString, getValueFormat } from "@grafana/data";
import { VizLayout } from "@grafana/ui";
import * as schemes from "d3-scale-chromatic";
import type uPlot from "uplot";
import { marks } from "../annotations";
import { type Drawing, isEmpty, Nothing } from "./drawing";
import { Rows } from "./rows";

const HIDDEN = 1e-9; // cells up to this are not drawn

export function Heatmap(drawing: Drawing) {
  const { panel, data, width, height, context, events } = drawing;
  const [frame] = data.frames;
  if (!frame || isEmpty(drawing)) {
    return <Nothing {...drawing} />;
  }
  const options = panel.options ?? {};
  const [time, ...buckets] = frame.fields;
  const times: number[] = time!.values;
  const step = time!.config.interval ?? 60_000;
  const counts = buckets.flatMap((bucket) => bucket.values.filter((value) => value > HIDDEN));
  const least: number = options.color?.min ?? Math.min(...counts);
  const most: number = options.color?.max ?? Math.max(...counts);
  const colour = colouring(options.color, context.theme.isDark);
  const share = (value: number) => (most > least ? (value - least) / (most - least) : 1);
  const paint = (plot: uPlot) => {
    const { ctx } = plot;
    ctx.save();
    buckets.forEach((bucket, row) => {
      const bottom = plot.valToPos(row, "y", true);
      const upper = plot.valToPos(row + 1, "y", true);
      times.forEach((at, i) => {
        const value = bucket.values[i];
        if (value === null || value <= HIDDEN) {
          return;
        }
        const left = Math.round(plot.valToPos(at - step, "x", true));
        const right = Math.round(plot.valToPos(at, "x", true));
        ctx.fillStyle = colour(Math.min(1, Math.max(0, share(value))));
        const wide = Math.max(1, right - left - 1);
        ctx.fillRect(Math.max(left, plot.bbox.left), upper + 1, wide, bottom - upper - 1);
      });
    });
    ctx.restore();
    marks(events)(plot);
  };
  const unit = getValueFormat(options.yAxis?.unit ?? panel.fieldConfig?.defaults.unit);
  const named = buckets.map(({ name }) => {
    const bound = Number(name);
    const shown = () => formattedValueToString(unit(bound, options.yAxis?.decimals));
    return Number.isNaN(bound) ? name : shown();
  });
  const every = Math.ceil(named.length / Math.max(1, Math.floor((height - 60) / 20)));
  const labels = new Map(
    named
      .map((name, row): [number, string] => [row + 1, name])
      .filter(([row]) => row % every === 0),
  );
  const format = getValueFormat(options.cellValues?.unit ?? "short");
  const counted = (value: number) =>
    formattedValueToString(format(value, options.cellValues?.decimals));
  const scale = options.legend?.show !== false && (
    <VizLayout.Legend placement="bottom">
      <Scale colour={colour} least={counted(least)} most={counted(most)} />
    </VizLayout.Legend>
  );
  return (
    <VizLayout width={width} height={height} legend={scale || null}>
      {(inner, outer) => (
        <Rows
          times={times}
          range={context.range}
          theme={context.theme}
          labels={labels}
          top={buckets.length}
          grid={false}
          width={inner}
          height={outer}
          paint={paint}
        />
      )}
    </VizLayout>
  );
}

interface Colour {
  scheme?: string;
  reverse?: boolean;
  steps?: number;
}

/** A colour for a share from 0 to 1: little is light in light themes, and dark in dark ones. */
function colouring(colour: Colour = {}, dark: boolean) {
  const { scheme = "Oranges", reverse = false, steps = 64 } = colour;
  const all = schemes as unknown as Record<string, (share: number) => string>;
  const scale = all[`interpolate${scheme}`] ?? schemes.interpolateOranges;
  const backwards = reverse !== (dark && isSequential(scheme));
  return (share: number) => {
    const stepped = Math.round(share * (steps - 1)) / (steps - 1);
    return scale(backwards ? 1 - stepped : stepped);
  };
}

const SEQUENTIAL =
  /^(Blues|Greens|Greys|Oranges|Purples|Reds|(Bu|Or|Pu|Rd|Yl|Gn)(Gn|Pu|Bu|Rd|Or|Br|GnBu|BuGn|OrBr|OrRd))$/;

/** Schemes that go from white to a colour. */
function isSequential(scheme: string): boolean {
  return SEQUENTIAL.test(scheme);
}

interface ScaleProps {
  colour: (share: number) => string;
  least: string;
  most: string;
}

function Scale({ colour, least, most }: ScaleProps) {
  const stops = Array.from({ length: 17 }, (_, i) => colour(i / 16)).join(",");
  return (
    <div style={{ display: "flex", gap: 8, alignItems: "center", fontSize: 12, height: 20 }}>
      <span>{least}</span>
      <span style={{ width: 200, height: 8, background: `linear-gradient(90deg,${stops})` }} />
      <span>{most}</span>
    </div>
  );
}
