/** Asking Prometheus, and its answers as the data frames that Grafana's data source makes. */
import { type DataFrame, type Field, FieldType, type Labels } from "@grafana/data";
import type { Job, Target } from "./dashboard";

interface Series {
  metric: Labels;
  value?: [number, string];
  values?: [number, string][];
}

export interface Times {
  /** Milliseconds since the epoch. */
  from: number;
  to: number;
  step: number;
}

async function ask<T>(job: Job, path: string, query: Record<string, string>): Promise<T> {
  const answer = await fetch(`${job.prometheus}/api/v1/${path}?${new URLSearchParams(query)}`);
  const said = await answer.json();
  if (said.status !== "success") {
    throw new Error(said.error ?? answer.statusText);
  }
  return said.data as T;
}

/** The values of a label, of all series or of those that a selector has. */
export async function labelValues(job: Job, label: string, selector?: string): Promise<string[]> {
  const match: Record<string, string> = selector ? { "match[]": selector } : {};
  return ask<string[]>(job, `label/${label}/values`, match);
}

/** The frames of a range query, one a series. */
export async function overTime(
  job: Job,
  target: Target,
  expr: string,
  { from, to, step }: Times,
): Promise<DataFrame[]> {
  const start = Math.floor(from / step) * step;
  const end = Math.floor(to / step) * step;
  const { result } = await ask<{ result: Series[] }>(job, "query_range", {
    query: expr,
    start: String(start / 1000),
    end: String(end / 1000),
    step: String(step / 1000),
  });
  return framed(target, expr, result, step);
}

/** The frames of an instant query, one a series. */
export async function now(
  job: Job,
  target: Target,
  expr: string,
  at: number,
): Promise<DataFrame[]> {
  const { result, resultType } = await ask<{ result: Series[]; resultType: string }>(job, "query", {
    query: expr,
    time: String(at / 1000),
  });
  const scalar = resultType === "scalar";
  const vector = scalar ? [{ metric: {}, value: result as unknown as [number, string] }] : result;
  return framed(target, expr, vector);
}

function framed(target: Target, expr: string, series: Series[], step?: number): DataFrame[] {
  if (series.length === 0) {
    return [{ refId: target.refId, fields: [], length: 0 }]; // so that an empty answer counts
  }
  return series.map(({ metric, value, values }) => {
    const points = values ?? [value!];
    const time: Field = {
      name: "Time",
      type: FieldType.time,
      config: step ? { interval: step } : {},
      values: points.map(([seconds]) => seconds * 1000),
    };
    const number: Field = {
      name: metric["__name__"] ?? "Value",
      type: FieldType.number,
      labels: metric,
      config: displayName(target, expr, metric),
      values: points.map(([, text]) => parsed(text)),
    };
    return { refId: target.refId, fields: [time, number], length: points.length };
  });
}

function parsed(text: string): number {
  const infinite = text.startsWith("-") ? -Infinity : Infinity;
  return /inf/i.test(text) ? infinite : Number.parseFloat(text);
}

/** Fill `{{label}}` of a legend. */
export function legend(format: string, labels: Labels): string {
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label: string) => labels[label] ?? "");
}

function displayName(target: Target, expr: string, labels: Labels): { displayNameFromDS?: string } {
  const { legendFormat } = target;
  if (legendFormat && legendFormat !== "__auto") {
    return { displayNameFromDS: legend(legendFormat, labels) };
  }
  const { __name__: name = "", ...rest } = labels;
  if (legendFormat === "__auto" && Object.keys(labels).length > 0) {
    return {};
  }
  const pairs = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
  return { displayNameFromDS: pairs.length ? `${name}{${pairs.join(", ")}}` : name || expr };
}

/** One frame a query, with a column for each label: the format `table`. */
export function asTables(frames: DataFrame[]): DataFrame[] {
  if (frames.length === 0 || (frames.length === 1 && frames[0]!.length === 0)) {
    return frames;
  }
  const queries = [...new Set(frames.map((frame) => frame.refId!))];
  return queries.map((refId) => {
    const own = frames.filter((frame) => frame.refId === refId && frame.fields.length > 0);
    const labels = new Set(own.flatMap((frame) => Object.keys(frame.fields[1]!.labels!).sort()));
    const columns: Field[] = [...labels].map((label) => ({
      name: label,
      type: FieldType.string,
      config: { filterable: true },
      values: own.flatMap((frame) =>
        frame.fields[1]!.values.map(() => frame.fields[1]!.labels![label] ?? ""),
      ),
    }));
    const value = queries.length > 1 ? `Value #${refId}` : "Value";
    const all = (index: number) => own.flatMap((frame) => frame.fields[index]!.values);
    const fields: Field[] = [
      { name: "Time", type: FieldType.time, config: {}, values: all(0) },
      ...columns,
      { name: value, type: FieldType.number, config: {}, values: all(1) },
    ];
    return { refId, fields, length: fields[0]!.values.length };
  });
}

/** One frame with a field a bucket, not cumulative: the format `heatmap`. */
export function asHeatmap(frames: DataFrame[]): DataFrame[] {
  const sorted = frames
    .filter((frame) => frame.fields[1]?.labels?.["le"] !== undefined)
    .sort((one, other) => bound(one) - bound(other));
  if (sorted.length === 0) {
    return [];
  }
  const times = [...new Set(sorted.flatMap((frame) => frame.fields[0]!.values))].sort(
    (one, other) => one - other,
  );
  const cumulative = sorted.map((frame) => {
    const values = new Map(frame.fields[0]!.values.map((t, i) => [t, frame.fields[1]!.values[i]]));
    return times.map((time) => values.get(time) as number | undefined);
  });
  const buckets = sorted.map((frame, row): Field => ({
    ...frame.fields[1]!,
    name: frame.fields[1]!.labels!["le"]!,
    values: times.map((_, i) => {
      const here = cumulative[row]![i];
      return here === undefined ? null : Math.max(0, here - (cumulative[row - 1]?.[i] ?? 0));
    }),
  }));
  const time: Field = { ...sorted[0]!.fields[0]!, values: times };
  return [{ refId: frames[0]!.refId!, fields: [time, ...buckets], length: times.length }];
}

function bound(frame: DataFrame): number {
  return parsed(frame.fields[1]!.labels!["le"]!);
}
