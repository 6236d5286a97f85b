/** A panel's data: its queries' answers, transformed, with the field configuration applied. */
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createFieldConfigRegistry,
  type DataFrame,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
  FieldColorModeId,
  getFieldDisplayName,
  getValueFormats,
  type GrafanaTheme2,
  identityOverrideProcessor,
  numberOverrideProcessor,
  rangeUtil,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  type ThresholdsConfig,
  ThresholdsMode,
  thresholdsOverrideProcessor,
  type TimeRange,
  transformDataFrame,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from "@grafana/data";
import { uniqBy } from "lodash";
import { lastValueFrom } from "rxjs";
import type { Job, Panel, Target } from "./dashboard";
import { asHeatmap, asTables, now, overTime } from "./prometheus";
import { found, problem } from "./problems";
import { type Choices, interpolator, substitute } from "./variables";

export interface Context {
  job: Job;
  choices: Choices;
  range: TimeRange;
  theme: GrafanaTheme2;
}

export interface PanelData {
  frames: DataFrame[];
  /** What Prometheus said to queries that failed. */
  errors: string[];
}

type Process = FieldConfigPropertyItem["process"];

function item(id: string, process: Process, isCustom = false): FieldConfigPropertyItem {
  const path = isCustom ? id.replace("custom.", "") : id;
  const described = { id, path, name: id, process, isCustom, shouldApply: () => true };
  return { ...described, editor: () => null, override: () => null };
}

/** Tell the library what Grafana tells it when it starts. */
export function initialize(): void {
  standardFieldConfigEditorRegistry.setInit(() => [
    item("displayName", displayNameOverrideProcessor as Process),
    item("unit", unitOverrideProcessor as Process),
    item("decimals", numberOverrideProcessor as Process),
    item("min", numberOverrideProcessor as Process),
    item("max", numberOverrideProcessor as Process),
    item("thresholds", thresholdsOverrideProcessor as Process),
    item("mappings", valueMappingsOverrideProcessor as Process),
    item("links", dataLinksOverrideProcessor as Process),
    ...["description", "noValue", "color", "fieldMinMax", "filterable", "actions"].map((id) =>
      item(id, identityOverrideProcessor as Process),
    ),
  ]);
  standardTransformersRegistry.setInit(() =>
    uniqBy(Object.values(standardTransformers), "id").map((transformer) => ({
      id: transformer.id,
      name: transformer.name,
      transformation: () => Promise.resolve(transformer),
      editor: () => null,
      imageDark: "",
      imageLight: "",
    })),
  );
}

/** All custom properties that the panel names: which there are, Grafana's plugins would tell. */
function registry(config: FieldConfigSource) {
  const options = createFieldConfigRegistry({}, "panel");
  const names = new Set([
    ...Object.keys(config.defaults.custom ?? {}).map((name) => `custom.${name}`),
    ...config.overrides.flatMap((rule) => rule.properties.map((property) => property.id)),
  ]);
  const properties = config.overrides.flatMap((rule) => rule.properties);
  const units = properties.filter(({ id }) => id === "unit").map(({ value }) => value as string);
  checkUnits([config.defaults.unit, ...units]);
  for (const id of names) {
    if (id.startsWith("custom.")) {
      options.register(item(id, identityOverrideProcessor as Process, true));
    } else if (!options.getIfExists(id)) {
      problem(`no field option is called ${id}`);
    }
  }
  return options;
}

function checkUnits(units: (string | undefined)[]): void {
  const known = new Set(
    getValueFormats().flatMap(({ submenu }) => submenu?.map(({ value }) => value) ?? []),
  );
  for (const unit of units) {
    if (unit && !unit.includes(":") && !known.has(unit)) {
      problem(`no unit is called ${unit}`);
    }
  }
}

/** Ask a panel's queries and make of the answers what is drawn. */
export async function panelData(panel: Panel, width: number, context: Context): Promise<PanelData> {
  const errors: string[] = [];
  if (panel.repeat) {
    problem(`${about(panel)}: repeating panels are not drawn`);
  }
  const targets = (panel.targets ?? []).filter((target) => !target.hide);
  const answers = await Promise.all(
    targets.map((target) =>
      answer(panel, target, width, context).catch((error: Error) => {
        errors.push(error.message);
        problem(`${about(panel)}: query ${target.refId}: ${error.message}`);
        return [] as DataFrame[];
      }),
    ),
  );
  const format = (wanted: string) =>
    answers.filter((_, i) => (targets[i]!.format ?? "time_series") === wanted);
  const raw = [
    ...format("time_series").flat(),
    ...asTables(format("table").flat()),
    ...format("heatmap").flatMap(asHeatmap),
  ];
  const frames = await transformed(panel, raw, context);
  if (targets.length > 0 && errors.length === 0 && frames.every((frame) => frame.length === 0)) {
    found.empty.push(about(panel));
  }
  return { frames: configured(panel, frames, context), errors };
}

function about(panel: Panel): string {
  return `panel ${panel.id} "${panel.title ?? ""}" (${panel.type})`;
}

async function answer(panel: Panel, target: Target, width: number, context: Context) {
  const { job, choices, range } = context;
  const points = panel.maxDataPoints ?? Math.max(1, Math.floor(width));
  const scrape = rangeUtil.intervalToMs(job.scrapeInterval);
  const least = substitute(target.interval || panel.interval || job.scrapeInterval, choices);
  const { intervalMs } = rangeUtil.calculateInterval(range, points, least);
  const from = range.from.valueOf();
  const to = range.to.valueOf();
  const step = Math.max(intervalMs, safeStep(to - from));
  const seconds = Math.round((to - from) / 1000);
  const rate = Math.max(intervalMs + scrape, 4 * scrape);
  const builtin = {
    __interval: `${step}ms`,
    __interval_ms: String(step),
    __rate_interval: `${rate}ms`,
    __rate_interval_ms: String(rate),
    __range: `${seconds}s`,
    __range_s: String(seconds),
    __range_ms: String(to - from),
  };
  const expr = substitute(target.expr, choices, builtin);
  return target.instant
    ? now(job, target, expr, to)
    : overTime(job, target, expr, { from, to, step });
}

/** Prometheus gives at most 11 000 points. */
function safeStep(milliseconds: number): number {
  return rangeUtil.roundInterval(milliseconds / 11000);
}

async function transformed(panel: Panel, frames: DataFrame[], context: Context) {
  const steps = (panel.transformations ?? []).filter((step) => !step.disabled);
  let current = frames;
  const interpolate = interpolator(context.choices);
  for (const step of steps) {
    checkNames(panel, `transformation ${step.id}`, named(step.options), current);
    if (!standardTransformersRegistry.getIfExists(step.id)) {
      problem(`${about(panel)}: unknown transformation ${step.id}`);
    }
    current = await lastValueFrom(transformDataFrame([step], current, { interpolate }));
  }
  for (const rule of panel.fieldConfig?.overrides ?? []) {
    if (rule.matcher.id === "byName") {
      checkNames(panel, "override", [rule.matcher.options as string], current);
    }
  }
  return current;
}

/** The fields that a transformation's options name. */
function named(options: any): string[] {
  return [
    ...(options?.include?.names ?? []),
    ...Object.keys(options?.renameByName ?? {}),
    ...Object.keys(options?.indexByName ?? {}),
    ...(options?.sort ?? []).map((by: { field: string }) => by.field),
    ...(options?.byField ? [options.byField] : []),
  ];
}

function checkNames(panel: Panel, who: string, names: string[], frames: DataFrame[]): void {
  if (panel.type !== "table" || frames.every((frame) => frame.length === 0)) {
    return; // names of series depend on what happens
  }
  const there = new Set(
    frames.flatMap((frame) =>
      frame.fields.flatMap((field) => [field.name, getFieldDisplayName(field, frame, frames)]),
    ),
  );
  for (const name of names.filter((wanted) => !there.has(wanted))) {
    problem(`${about(panel)}: ${who} names "${name}", but there is ${[...there].join(", ")}`);
  }
}

function configured(panel: Panel, data: DataFrame[], context: Context): DataFrame[] {
  const fieldConfig = withDefaults(panel);
  const frames = applyFieldOverrides({
    data,
    fieldConfig,
    fieldConfigRegistry: registry(fieldConfig),
    replaceVariables: interpolator(context.choices),
    theme: context.theme,
    timeZone: "browser",
  });
  cacheFieldDisplayNames(frames);
  return frames;
}

/** What Grafana takes for a panel that does not say it: 80 is red, unless told otherwise. */
export function withDefaults({ type, fieldConfig }: Panel): FieldConfigSource {
  const thresholds: ThresholdsConfig = {
    mode: ThresholdsMode.Absolute,
    steps: [
      { color: "green", value: -Infinity },
      { color: "red", value: 80 },
    ],
  };
  const color = { mode: COLOUR_MODES[type] ?? FieldColorModeId.Thresholds };
  const { defaults = {}, overrides = [] } = fieldConfig ?? {};
  return { defaults: { thresholds, color, mappings: [], ...defaults }, overrides };
}

const COLOUR_MODES: Record<string, FieldColorModeId> = {
  "state-timeline": FieldColorModeId.ContinuousGrYlRd,
  timeseries: FieldColorModeId.PaletteClassic,
};
