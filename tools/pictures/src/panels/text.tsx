/** Text: Markdown or HTML. */
import { renderMarkdown } from "@grafana/data";
import { substitute } from "../variables";
import type { Drawing } from "./drawing";

export function Text({ panel, context }: Drawing) {
  const { mode = "markdown", content = "" } = panel.options ?? {};
  const text = substitute(content, context.choices);
  const html = mode === "html" ? text : renderMarkdown(text);
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}
