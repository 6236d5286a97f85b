/** What of a dashboard's JSON is drawn (Grafana's classic schema), and what the driver asks for. */
import type { DataTransformerConfig, FieldConfigSource } from "@grafana/data";

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  range?: boolean;
  interval?: string;
  hide?: boolean;
}

export interface Link {
  title: string;
  url?: string;
  type?: string;
  icon?: string;
  tags?: string[];
  asDropdown?: boolean;
  placement?: string;
}

export interface Panel {
  id: number;
  type: string;
  title?: string;
  description?: string;
  transparent?: boolean;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: Target[];
  // What a panel's options are depends on its type.
  options?: any;
  fieldConfig?: FieldConfigSource;
  transformations?: DataTransformerConfig[];
  interval?: string;
  maxDataPoints?: number;
  links?: Link[];
  repeat?: string;
  collapsed?: boolean;
  panels?: Panel[];
}

export interface Variable {
  name: string;
  label?: string;
  type: string;
  query?: string | { query?: string };
  regex?: string;
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string;
  hide?: number | string;
  current?: { text?: string | string[]; value?: string | string[] };
  options?: { text: string; value: string; selected?: boolean }[];
}

export interface Annotation {
  name: string;
  enable: boolean;
  hide?: boolean;
  iconColor: string;
  expr?: string;
  titleFormat?: string;
  textFormat?: string;
  step?: string;
  builtIn?: number;
  target?: { expr?: string };
}

export interface Dashboard {
  uid: string;
  title: string;
  tags?: string[];
  panels: Panel[];
  links?: Link[];
  templating?: { list: Variable[] };
  annotations?: { list: Annotation[] };
}

/** What the driver asks the page to draw. */
export interface Job {
  dashboard: Dashboard;
  /** Titles by tag, for links to dashboards by tag. */
  tagged: Record<string, string[]>;
  prometheus: string;
  from: string;
  to: string;
  variables: Record<string, string[]>;
  scrapeInterval: string;
  width: number;
  theme: "light" | "dark";
}
