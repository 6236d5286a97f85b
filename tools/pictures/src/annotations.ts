/** Moments that a dashboard's annotations find, and how graphs mark them. */
import { rangeUtil } from "@grafana/data";
import type uPlot from "uplot";
import type { Annotation } from "./dashboard";
import type { Context } from "./data";
import { overTime } from "./prometheus";
import { problem } from "./problems";
import { substitute } from "./variables";

export interface Event {
  colour: string;
  /** Milliseconds since the epoch. */
  from: number;
  to: number;
}

const STEP = "60s"; // of the queries for annotations, in Grafana

/** Find the events of all annotations that are shown. */
export async function events(context: Context): Promise<Event[]> {
  const list = context.job.dashboard.annotations?.list ?? [];
  const queried = list.filter((one) => one.enable && !one.builtIn);
  return (await Promise.all(queried.map((one) => found(one, context)))).flat();
}

async function found(annotation: Annotation, { job, choices, range, theme }: Context) {
  const expr = annotation.expr ?? annotation.target?.expr ?? "";
  // Where scrapes are faster than usual, the whole of life is.
  const scrape = rangeUtil.intervalToMs(job.scrapeInterval);
  const step = Math.min(rangeUtil.intervalToMs(annotation.step || STEP), 4 * scrape);
  const from = range.from.valueOf();
  const to = range.to.valueOf();
  const builtin = {
    __range: `${to - from}ms`,
    __interval: `${step}ms`,
    __rate_interval: `${Math.max(step + scrape, 4 * scrape)}ms`,
  };
  const asked = substitute(expr, choices, builtin);
  const colour = theme.visualization.getColorByName(annotation.iconColor);
  const target = { refId: "Anno", expr };
  try {
    const frames = await overTime(job, target, asked, { from, to, step });
    return frames.flatMap((frame) => {
      const times: number[] = frame.fields[0]?.values ?? [];
      return merged(times.filter((_, i) => frame.fields[1]!.values[i] > 0), step, colour);
    });
  } catch (error) {
    problem(`annotation ${annotation.name}: ${(error as Error).message}`);
    return [];
  }
}

/** Make one event of moments that follow one another. */
function merged(times: number[], step: number, colour: string): Event[] {
  const made: Event[] = [];
  for (const time of times) {
    const last = made.at(-1);
    if (last && last.to + step >= time) {
      last.to = time;
    } else {
      made.push({ colour, from: time, to: time });
    }
  }
  return made;
}

/** Draw events over a plot: dashed lines, and a band between where an event lasts. */
export function marks(events: Event[]) {
  return ({ ctx, bbox, valToPos }: uPlot): void => {
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + 8);
    ctx.clip();
    for (const { colour, from, to } of events) {
      const left = valToPos(from, "x", true);
      const right = valToPos(to, "x", true);
      ctx.strokeStyle = ctx.fillStyle = colour;
      if (to > from) {
        ctx.globalAlpha = 0.1;
        ctx.fillRect(left, bbox.top, right - left, bbox.height);
        ctx.globalAlpha = 1;
        ctx.fillRect(left, bbox.top + bbox.height, right - left, 5);
        line(ctx, right, bbox);
      }
      line(ctx, left, bbox);
      triangle(ctx, left, bbox.top + bbox.height);
    }
    ctx.restore();
  };
}

function line(ctx: CanvasRenderingContext2D, x: number, { top, height }: uPlot.BBox): void {
  ctx.setLineDash([5, 5]);
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
}

function triangle(ctx: CanvasRenderingContext2D, x: number, y: number): void {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x - 5, y + 6);
  ctx.lineTo(x + 5, y + 6);
  ctx.fill();
}
