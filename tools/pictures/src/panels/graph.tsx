/** Time series: Grafana's own component, with annotations drawn over it. */
import type { DataFrame } from "@grafana/data";
import { TimeSeries, type UPlotConfigBuilder } from "@grafana/ui";
import { useLayoutEffect } from "react";
import { type Event, marks } from "../annotations";
import { type Drawing, isEmpty, Nothing } from "./drawing";

const LEGEND = { showLegend: true, displayMode: "list", placement: "bottom", calcs: [] };

export function Graph(drawing: Drawing) {
  const { panel, data, width, height, context, events } = drawing;
  if (isEmpty(drawing)) {
    return <Nothing {...drawing} />;
  }
  const frames = data.frames.filter((frame) => frame.length > 0).map(withStyle);
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      width={width}
      height={height}
      timeRange={context.range}
      timeZone="browser"
      legend={{ ...LEGEND, ...panel.options?.legend }}
      options={panel.options}
    >
      {(builder) => <Marks builder={builder} events={events} />}
    </TimeSeries>
  );
}

/** What the plugin of the panel takes where the dashboard says nothing. */
function withStyle(frame: DataFrame): DataFrame {
  const usual = { lineWidth: 1, fillOpacity: 0, pointSize: 5, showPoints: "auto" };
  const fields = frame.fields.map((field) => ({
    ...field,
    config: { ...field.config, custom: { ...usual, ...field.config.custom } },
  }));
  return { ...frame, fields };
}

function Marks({ builder, events }: { builder: UPlotConfigBuilder; events: Event[] }) {
  useLayoutEffect(() => builder.addHook("draw", marks(events)), [builder, events]);
  return null;
}
