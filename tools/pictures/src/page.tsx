/** The page as Grafana shows it: title, time, variables, links, and the panels in their grid. */
import { css } from "@emotion/css";
import { type GrafanaTheme2, rangeUtil } from "@grafana/data";
import { Icon, type IconName, PanelChrome, useStyles2 } from "@grafana/ui";
import type { ReactNode } from "react";
import type { Event } from "./annotations";
import type { Dashboard, Job, Link, Panel } from "./dashboard";
import type { Context, PanelData } from "./data";
import { KINDS } from "./panels";
import { type Choices, substitute } from "./variables";

const COLUMNS = 24;
const ROW = 30;
const GAP = 8;
const MARGIN = 16;

export interface Drawn {
  panel: Panel;
  data: PanelData;
}

interface Props {
  context: Context;
  events: Event[];
  drawn: Drawn[];
}

export function Page({ context, events, drawn }: Props) {
  const styles = useStyles2(pageStyles);
  const { job, choices } = context;
  const bottom = Math.max(...drawn.map(({ panel }) => top(panel) + tall(panel)));
  return (
    <div className={styles.page} style={{ width: job.width }}>
      <header className={styles.header}>
        <Icon name="apps" />
        <span className={styles.faint}>Dashboards</span>
        <Icon name="angle-right" />
        <span>{job.dashboard.title}</span>
      </header>
      <nav className={styles.bar}>
        <Variables choices={choices} />
        <Annotations dashboard={job.dashboard} theme={context.theme} />
        <span className={styles.right}>
          {links(job).map(({ title, icon }) => (
            <Box key={title}>
              <Icon name={icon} /> {title}
            </Box>
          ))}
          <Box>
            <Icon name="clock-nine" /> {rangeUtil.describeTimeRange(context.range.raw)}
            <Icon name="angle-down" />
          </Box>
          <Box>
            <Icon name="sync" /> Refresh
          </Box>
        </span>
      </nav>
      <main style={{ position: "relative", height: bottom, margin: MARGIN, marginTop: GAP }}>
        {drawn.map(({ panel, data }) => (
          <Framed key={panel.id} {...{ panel, data, events, context }} />
        ))}
      </main>
    </div>
  );
}

function Variables({ choices }: { choices: Choices }) {
  const styles = useStyles2(pageStyles);
  return [...choices.values()]
    .filter(({ variable }) => Number(variable.hide ?? 0) !== 2 && variable.hide !== "hideVariable")
    .map(({ variable, text }) => (
      <span key={variable.name} className={styles.variable}>
        <label>{variable.label || variable.name}</label>
        <Box>
          {text || "None"} <Icon name="angle-down" />
        </Box>
      </span>
    ));
}

function Annotations({ dashboard, theme }: { dashboard: Dashboard; theme: GrafanaTheme2 }) {
  const styles = useStyles2(pageStyles);
  return (dashboard.annotations?.list ?? [])
    .filter(({ builtIn, hide }) => !builtIn && !hide)
    .map(({ name, enable, iconColor }) => {
      const color = theme.visualization.getColorByName(iconColor);
      return (
        <span key={name} className={styles.toggle}>
          {name}
          <i style={{ background: enable ? color : "none", borderColor: color }} />
        </span>
      );
    });
}

function Box({ children }: { children: ReactNode }) {
  return <span className={useStyles2(pageStyles).box}>{children}</span>;
}

/** The links at the top: those by tag lead to every other dashboard that has it. */
function links({ dashboard, tagged }: Job): { title: string; icon: IconName }[] {
  return (dashboard.links ?? []).flatMap((link: Link): { title: string; icon: IconName }[] => {
    if (link.placement === "inControlsMenu") {
      return [{ title: "", icon: "sliders-v-alt" }]; // behind a button
    }
    if (link.type !== "dashboards") {
      return [{ title: link.title, icon: "external-link-alt" }];
    }
    if (link.asDropdown) {
      return [{ title: link.title, icon: "bars" }];
    }
    const titles = new Set((link.tags ?? []).flatMap((tag) => tagged[tag] ?? []));
    return [...titles]
      .filter((title) => title !== dashboard.title)
      .map((title) => ({ title, icon: "apps" }));
  });
}

const top = ({ gridPos }: Panel) => gridPos.y * (ROW + GAP);
const tall = ({ gridPos }: Panel) => gridPos.h * ROW + (gridPos.h - 1) * GAP;

/** The size of a panel in pixels. */
export function size(panel: Panel, pageWidth: number): { width: number; height: number } {
  const column = (pageWidth - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS;
  const { w } = panel.gridPos;
  return { width: Math.floor(w * column + (w - 1) * GAP), height: tall(panel) };
}

function Framed({ panel, data, events, context }: Drawn & Omit<Props, "drawn">) {
  const styles = useStyles2(pageStyles);
  const { width, height } = size(panel, context.job.width);
  const column = (context.job.width - 2 * MARGIN - GAP * (COLUMNS - 1)) / COLUMNS;
  const place = { left: Math.floor(panel.gridPos.x * (column + GAP)), top: top(panel) };
  const title = substitute(panel.title ?? "", context.choices);
  if (panel.type === "row") {
    return (
      <div className={styles.row} style={place}>
        <Icon name={panel.collapsed ? "angle-right" : "angle-down"} /> {title}
        {panel.collapsed && <small>({panel.panels?.length ?? 0} panels)</small>}
      </div>
    );
  }
  const Kind = KINDS[panel.type];
  return (
    <div style={{ position: "absolute", ...place }} data-panel={panel.id}>
      <PanelChrome
        width={width}
        height={height}
        title={title}
        description={panel.description}
        displayMode={panel.transparent ? "transparent" : "default"}
        statusMessage={data.errors[0]}
      >
        {(inner, outer) => (
          <>
            {data.errors.length > 0 && <div className={styles.error}>{data.errors.join("; ")}</div>}
            {Kind ? (
              <Kind {...{ panel, data, events, context, width: inner, height: outer }} />
            ) : (
              <div className={styles.error}>Cannot draw a {panel.type}</div>
            )}
          </>
        )}
      </PanelChrome>
    </div>
  );
}

const pageStyles = (theme: GrafanaTheme2) => ({
  page: css({ background: theme.colors.background.canvas, paddingBottom: 1 }),
  header: css({
    alignItems: "center",
    background: theme.colors.background.primary,
    borderBottom: `1px solid ${theme.colors.border.weak}`,
    display: "flex",
    gap: 8,
    height: 48,
    padding: `0 ${MARGIN}px`,
  }),
  faint: css({ color: theme.colors.text.secondary }),
  right: css({
    display: "flex",
    flexWrap: "wrap",
    gap: 8,
    justifyContent: "flex-end",
    marginLeft: "auto",
  }),
  bar: css({
    alignItems: "center",
    display: "flex",
    flexWrap: "wrap",
    gap: 8,
    padding: `${GAP}px ${MARGIN}px 0`,
  }),
  variable: css({
    display: "flex",
    label: {
      alignItems: "center",
      background: theme.colors.background.secondary,
      border: `1px solid ${theme.colors.border.weak}`,
      borderRadius: `${theme.shape.radius.default} 0 0 ${theme.shape.radius.default}`,
      borderRight: "none",
      display: "flex",
      fontSize: 12,
      fontWeight: 500,
      padding: "0 8px",
    },
  }),
  toggle: css({
    alignItems: "center",
    display: "flex",
    fontSize: 12,
    gap: 6,
    i: { border: "2px solid", borderRadius: 8, height: 12, width: 24 },
  }),
  box: css({
    alignItems: "center",
    background: theme.components.input.background,
    border: `1px solid ${theme.components.input.borderColor}`,
    borderRadius: theme.shape.radius.default,
    display: "inline-flex",
    fontSize: 14,
    gap: 6,
    height: 32,
    padding: "0 8px",
    whiteSpace: "nowrap",
  }),
  row: css({
    alignItems: "center",
    display: "flex",
    fontSize: theme.typography.h5.fontSize,
    fontWeight: 500,
    gap: 8,
    height: ROW,
    position: "absolute",
    small: { color: theme.colors.text.secondary },
  }),
  error: css({
    background: theme.colors.error.transparent,
    color: theme.colors.error.text,
    fontFamily: theme.typography.fontFamilyMonospace,
    fontSize: 12,
    padding: 4,
    position: "absolute",
    zIndex: 1,
  }),
});
