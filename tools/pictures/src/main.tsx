/** What the driver calls: ask for everything a dashboard shows, then draw it whole, once. */
import { createTheme, rangeUtil, ThemeContext } from "@grafana/data";
import { GlobalStyles } from "@grafana/ui";
import type { ReactNode } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { events } from "./annotations";
import type { Job } from "./dashboard";
import { type Context, initialize, panelData } from "./data";
import { Page, size } from "./page";
import { type Found, found, problem } from "./problems";
import { choose } from "./variables";

declare global {
  interface Window {
    __draw: (job: Job) => Promise<Found & { height: number }>;
    __settled: () => Promise<void>;
  }
}

const FONTS = ["400 12px Inter", "500 12px Inter", '400 12px "Roboto Mono"'];

window.addEventListener("error", ({ message }) => problem(`page: ${message}`));
initialize();
const element = document.getElementById("root")!;
const root = createRoot(element);

/** Draw a dashboard in place of the one before, and tell how high it is and what is wrong. */
window.__draw = async (job) => {
  found.problems = [];
  found.empty = [];
  const theme = createTheme({ colors: { mode: job.theme } });
  const range = rangeUtil.convertRawToRange({ from: job.from, to: job.to });
  if (!range.from.isValid() || !range.to.isValid()) {
    throw new Error(`not a time range: ${job.from} to ${job.to}`);
  }
  const context: Context = { job, theme, range, choices: await choose(job) };
  const [marked, ...drawn] = await Promise.all([
    events(context),
    ...job.dashboard.panels.map(async (panel) => {
      const width = size(panel, job.width).width;
      return { panel, data: await panelData(panel, width, context) };
    }),
  ]);
  const show = (page?: ReactNode) =>
    flushSync(() =>
      root.render(
        <ThemeContext.Provider value={theme}>
          <GlobalStyles />
          {page}
        </ThemeContext.Provider>,
      ),
    );
  show();
  // Axes and big numbers are laid out by the measure of their text.
  await Promise.all(FONTS.map((font) => document.fonts.load(font)));
  show(<Page context={context} events={marked} drawn={drawn} />);
  await window.__settled();
  return { ...found, height: element.offsetHeight };
};

/** Wait until nothing moves any more. */
window.__settled = async () => {
  await document.fonts.ready;
  for (let frame = 0; frame < 5; frame += 1) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
};
