/** Which component draws which type of panel. */
import type { ComponentType } from "react";
import type { Drawing } from "./drawing";
import { Graph } from "./graph";
import { Heatmap } from "./heatmap";
import { Bars, Stat } from "./stats";
import { Table } from "./table";
import { Text } from "./text";
import { Timeline } from "./timeline";

export const KINDS: Record<string, ComponentType<Drawing>> = {
  bargauge: Bars,
  heatmap: Heatmap,
  stat: Stat,
  "state-timeline": Timeline,
  table: Table,
  text: Text,
  timeseries: Graph,
};
