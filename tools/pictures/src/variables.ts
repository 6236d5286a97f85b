/** The dashboard's variables: what they stand for, and how they are put into text. */
import { escapeRegExp } from "lodash";
import type { ScopedVars } from "@grafana/data";
import type { Job, Variable } from "./dashboard";
import { labelValues } from "./prometheus";
import { problem } from "./problems";

const ALL = "$__all";
const IN_TEXT = /\$(\w+)|\$\{(\w+)(?:\.[^:^}]+)?(?::([^}]+))?\}|\[\[(\w+)(?::(\w+))?\]\]/g;

export interface Chosen {
  variable: Variable;
  values: string[];
  text: string;
  /** Everything is chosen. */
  all: boolean;
}

export type Choices = Map<string, Chosen>;

/** Find what each variable stands for: what the job says, else what the dashboard says. */
export async function choose(job: Job): Promise<Choices> {
  const choices: Choices = new Map();
  for (const variable of job.dashboard.templating?.list ?? []) {
    const wanted = job.variables[variable.name] ?? saved(variable);
    const all = wanted.includes(ALL) || wanted.includes("All");
    const possible = await options(variable, job, choices);
    const values = all ? possible : wanted.length ? wanted : possible.slice(0, 1);
    if (possible.length === 0 && variable.type === "query") {
      problem(`variable ${variable.name}: nothing to choose from`);
    }
    choices.set(variable.name, { variable, values, all, text: all ? "All" : values.join(" + ") });
  }
  return choices;
}

function saved(variable: Variable): string[] {
  if (variable.type === "datasource") {
    return ["Prometheus"];
  }
  const value = variable.current?.value;
  if (value !== undefined && value.length) {
    return [value].flat();
  }
  return variable.includeAll ? [ALL] : [];
}

async function options(variable: Variable, job: Job, choices: Choices): Promise<string[]> {
  const query = typeof variable.query === "string" ? variable.query : (variable.query?.query ?? "");
  if (variable.type === "query") {
    const asked = /^label_values\((?:(.+),\s*)?(\w+)\)\s*$/s.exec(query);
    if (!asked?.[2]) {
      problem(`variable ${variable.name}: cannot evaluate ${query}`);
      return [];
    }
    return labelValues(job, asked[2], asked[1] && substitute(asked[1], choices));
  }
  if (variable.type === "custom" || variable.type === "interval") {
    return query.split(",").map((value) => value.trim().replace(/^.* : /, ""));
  }
  return [];
}

/** Put values into a query or a text, as Grafana does it for Prometheus. */
export function substitute(
  text: string,
  choices: Choices,
  builtin: Record<string, string> = {},
): string {
  return text.replace(IN_TEXT, (found, plain, braced, format, square) => {
    const name: string = plain ?? braced ?? square;
    if (name in builtin) {
      return builtin[name]!;
    }
    const chosen = choices.get(name);
    return chosen ? formatted(chosen, format) : found;
  });
}

function formatted({ variable, values, all }: Chosen, format?: string): string {
  if (format === "queryparam") {
    return (all ? [ALL] : values)
      .map((value) => `var-${variable.name}=${encodeURIComponent(value)}`)
      .join("&");
  }
  if (all && variable.allValue) {
    return variable.allValue;
  }
  if (format === "text" || format === "raw" || format === "csv") {
    return values.join(", ");
  }
  if (!variable.multi && !variable.includeAll) {
    return values.join(",");
  }
  // As in a string of PromQL: what escapes for the regular expression is escaped itself.
  const escaped = values.map((value) => escapeRegExp(value).replace(/\\/g, "\\\\"));
  return escaped.length === 1 ? escaped[0]! : `(${escaped.join("|")})`;
}

/** Titles, texts and links: what the libraries call back with. */
export function interpolator(choices: Choices) {
  return (text: string, scoped?: ScopedVars): string => {
    const own = Object.fromEntries(
      Object.entries(scoped ?? {}).map(([name, variable]) => [name, String(variable?.value)]),
    );
    return substitute(text, choices, own);
  };
}
