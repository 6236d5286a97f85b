/** A plot of rows over time, with Grafana's axes: what heat maps and timelines are painted on. */
import type { GrafanaTheme2, TimeRange } from "@grafana/data";
import { AxisPlacement, ScaleDirection, ScaleOrientation } from "@grafana/schema";
import { measureText, UPlotChart, UPlotConfigBuilder } from "@grafana/ui";
import { useMemo } from "react";
import type uPlot from "uplot";

interface Props {
  times: number[];
  range: TimeRange;
  theme: GrafanaTheme2;
  /** Labels of the y axis by their place on it, which is from 0 to `top`. */
  labels: Map<number, string>;
  top: number;
  grid: boolean;
  width: number;
  height: number;
  paint: (plot: uPlot) => void;
}

export function Rows({ times, range, theme, labels, top, grid, width, height, paint }: Props) {
  const config = useMemo(() => {
    const builder = new UPlotConfigBuilder("browser");
    builder.addScale({
      scaleKey: "x",
      isTime: true,
      orientation: ScaleOrientation.Horizontal,
      direction: ScaleDirection.Right,
      range: () => [range.from.valueOf(), range.to.valueOf()],
    });
    builder.addScale({
      scaleKey: "y",
      orientation: ScaleOrientation.Vertical,
      direction: ScaleDirection.Up,
      range: () => [0, top],
    });
    builder.addAxis({
      scaleKey: "x",
      isTime: true,
      placement: AxisPlacement.Bottom,
      theme,
      grid: { show: grid },
    });
    builder.addAxis({
      scaleKey: "y",
      placement: AxisPlacement.Left,
      theme,
      grid: { show: false },
      size: 16 + Math.max(...[...labels.values()].map((label) => measureText(label, 12).width)),
      splits: [...labels.keys()],
      values: (_, splits) => splits.map((split) => labels.get(split) ?? ""),
    });
    const nothing = { pathBuilder: () => null, pointsBuilder: () => undefined };
    builder.addSeries({ scaleKey: "y", theme, ...nothing });
    builder.addHook("draw", paint);
    return builder;
  }, []);
  const data: uPlot.AlignedData = [times, times.map(() => null)];
  return <UPlotChart config={config} data={data} width={width} height={height} />;
}
