/** State timeline: a row a series, with its states as bars. */
import { type Field, FieldType, formattedValueToString, getFieldDisplayName } from "@grafana/data";
import { LegendDisplayMode } from "@grafana/schema";
import { VizLayout, VizLegend, type VizLegendItem } from "@grafana/ui";
import type uPlot from "uplot";
import { marks } from "../annotations";
import { type Drawing, isEmpty, Nothing } from "./drawing";
import { Rows } from "./rows";

interface Bar {
  from: number;
  to: number;
  text: string;
  colour: string;
}

interface Line {
  name: string;
  bars: Bar[];
}

export function Timeline(drawing: Drawing) {
  const { panel, width, height, context, events } = drawing;
  if (isEmpty(drawing)) {
    return <Nothing {...drawing} />;
  }
  const lines = states(drawing);
  const { rowHeight = 0.9, showValue = "auto", legend } = panel.options ?? {};
  const opacity = (panel.fieldConfig?.defaults.custom?.fillOpacity ?? 70) / 100;
  const middle = (row: number) => lines.length - row - 0.5; // the first stands at the top
  const labels = new Map(lines.map(({ name }, row) => [middle(row), name]));
  const paint = (plot: uPlot) => {
    const { ctx, bbox } = plot;
    const high = (bbox.height / lines.length) * rowHeight;
    ctx.save();
    ctx.font = `12px ${context.theme.typography.fontFamily}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    lines.forEach(({ bars }, row) => {
      const y = plot.valToPos(middle(row), "y", true);
      for (const { from, to, text, colour } of bars) {
        const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
        const wide = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true)) - left;
        ctx.globalAlpha = opacity;
        ctx.fillStyle = colour;
        ctx.fillRect(left, y - high / 2, wide, high);
        ctx.globalAlpha = 1;
        ctx.fillStyle = context.theme.colors.getContrastText(colour, 3);
        if (showValue !== "never" && ctx.measureText(text).width + 8 < wide) {
          ctx.fillText(text, left + 4, y);
        }
      }
    });
    ctx.restore();
    marks(events)(plot);
  };
  const items = legendItems(lines);
  const shown = legend?.showLegend !== false && items.length > 0 && (
    <VizLayout.Legend placement={legend?.placement ?? "bottom"}>
      <VizLegend placement="bottom" items={items} displayMode={LegendDisplayMode.List} readonly />
    </VizLayout.Legend>
  );
  return (
    <VizLayout width={width} height={height} legend={shown || null}>
      {(inner, outer) => (
        <Rows
          times={drawing.data.frames.find((frame) => frame.length > 0)!.fields[0]!.values}
          range={context.range}
          theme={context.theme}
          labels={labels}
          top={lines.length}
          grid
          width={inner}
          height={outer}
          paint={paint}
        />
      )}
    </VizLayout>
  );
}

function states({ data }: Drawing): Line[] {
  return data.frames.flatMap((frame) => {
    const times = frame.fields.find((field) => field.type === FieldType.time);
    const step = times?.config.interval ?? 0;
    return frame.fields
      .filter((field) => field !== times && times)
      .map((field) => ({
        name: getFieldDisplayName(field, frame, data.frames),
        bars: bars(field, times!.values, step),
      }));
  });
}

/** Equal values that follow one another are one bar; a gap ends it. */
function bars(field: Field, times: number[], step: number): Bar[] {
  const made: Bar[] = [];
  field.values.forEach((value, i) => {
    if (value === null || Number.isNaN(value)) {
      return;
    }
    const shown = field.display!(value);
    const text = formattedValueToString(shown);
    const last = made.at(-1);
    if (last && last.text === text && last.to >= times[i]!) {
      last.to = times[i]! + step;
    } else {
      made.push({ from: times[i]!, to: times[i]! + step, text, colour: shown.color ?? "#808080" });
    }
  });
  return made;
}

function legendItems(lines: Line[]): VizLegendItem[] {
  const bars = lines.flatMap((line) => line.bars);
  const colours = new Map(bars.map(({ text, colour }) => [text, colour]));
  return [...colours].map(([label, color]) => ({ label, color, yAxis: 1 }));
}
