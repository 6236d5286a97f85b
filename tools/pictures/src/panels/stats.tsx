/** Stat and bar gauge: one value a series, drawn by Grafana's own components. */
import {
  type FieldDisplay,
  getDisplayProcessor,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  VizOrientation,
} from "@grafana/data";
import { BarGaugeDisplayMode, BarGaugeNamePlacement, BarGaugeValueMode } from "@grafana/schema";
import { BarGauge, BigValue, VizRepeater } from "@grafana/ui";
import { withDefaults } from "../data";
import { interpolator } from "../variables";
import type { Drawing } from "./drawing";

function values({ panel, data, context }: Drawing, sparkline: boolean): FieldDisplay[] {
  return getFieldDisplayValues({
    fieldConfig: withDefaults(panel),
    reduceOptions: { calcs: ["lastNotNull"], ...panel.options?.reduceOptions },
    replaceVariables: interpolator(context.choices),
    theme: context.theme,
    data: data.frames,
    sparkline,
    timeZone: "browser",
  });
}

export function Stat(drawing: Drawing) {
  const { panel, width, height, context } = drawing;
  const options = panel.options ?? {};
  const found = values(drawing, options.graphMode !== "none");
  return (
    <VizRepeater
      getValues={() => found}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          value={value.display}
          count={count}
          sparkline={value.sparkline && { ...value.sparkline, timeRange: context.range }}
          colorMode={options.colorMode ?? "value"}
          graphMode={options.graphMode ?? "area"}
          justifyMode={options.justifyMode ?? "auto"}
          textMode={options.textMode ?? "auto"}
          disableWideLayout={options.wideLayout === false}
          alignmentFactors={alignmentFactors}
          text={options.text}
          width={width}
          height={height}
          theme={context.theme}
        />
      )}
      width={width}
      height={height}
      source={found}
      itemSpacing={3}
      renderCounter={0}
      autoGrid
      orientation={options.orientation ?? VizOrientation.Auto}
    />
  );
}

export function Bars(drawing: Drawing) {
  const { panel, width, height, context } = drawing;
  const options = panel.options ?? {};
  const found = values(drawing, false);
  const sideways = options.orientation === "horizontal";
  return (
    <VizRepeater
      getValues={() => found}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, orientation }) => (
        <BarGauge
          value={value.display}
          width={width}
          height={height}
          orientation={orientation}
          field={value.field}
          text={options.text}
          display={
            value.view?.getFieldDisplayProcessor(value.colIndex!) ??
            getDisplayProcessor({ field: { config: value.field }, theme: context.theme })
          }
          theme={context.theme}
          itemSpacing={8}
          lcdCellWidth={8}
          displayMode={options.displayMode ?? BarGaugeDisplayMode.Gradient}
          alignmentFactors={alignmentFactors}
          showUnfilled={options.showUnfilled ?? true}
          valueDisplayMode={options.valueMode ?? BarGaugeValueMode.Color}
          namePlacement={options.namePlacement ?? BarGaugeNamePlacement.Auto}
        />
      )}
      width={width}
      height={height}
      source={found}
      itemSpacing={8}
      renderCounter={0}
      minVizWidth={options.minVizWidth ?? 8}
      minVizHeight={options.minVizHeight ?? (sideways ? 16 : 8)}
      maxVizHeight={sideways && options.sizing === "manual" ? options.maxVizHeight : 300}
      orientation={options.orientation ?? VizOrientation.Auto}
    />
  );
}
