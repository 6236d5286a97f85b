/** What every kind of panel is drawn from, and what stands where there is nothing to draw. */
import { css } from "@emotion/css";
import type { GrafanaTheme2 } from "@grafana/data";
import { useStyles2 } from "@grafana/ui";
import type { Event } from "../annotations";
import type { Panel } from "../dashboard";
import type { Context, PanelData } from "../data";

export interface Drawing {
  panel: Panel;
  data: PanelData;
  events: Event[];
  width: number;
  height: number;
  context: Context;
}

const styles = (theme: GrafanaTheme2) =>
  css({
    alignItems: "center",
    color: theme.colors.text.secondary,
    display: "flex",
    fontSize: theme.typography.h4.fontSize,
    height: "100%",
    justifyContent: "center",
    width: "100%",
  });

export function Nothing({ panel }: Drawing) {
  const text = panel.fieldConfig?.defaults.noValue ?? "No data";
  return <div className={useStyles2(styles)}>{text}</div>;
}

export function isEmpty({ data }: Drawing): boolean {
  return data.frames.every((frame) => frame.length === 0);
}
