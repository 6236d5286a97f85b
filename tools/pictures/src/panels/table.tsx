/** Table: Grafana's own. */
import { TableNG } from "@grafana/ui/unstable";
import { type Drawing, isEmpty, Nothing } from "./drawing";

export function Table(drawing: Drawing) {
  const { panel, data, width, height, context } = drawing;
  const frame = data.frames[0];
  if (!frame || isEmpty(drawing)) {
    return <Nothing {...drawing} />;
  }
  const options = panel.options ?? {};
  return (
    <TableNG
      data={frame}
      width={width}
      height={height}
      noHeader={options.showHeader === false}
      cellHeight={options.cellHeight}
      sortBy={options.sortBy}
      timeRange={context.range}
      fieldConfig={panel.fieldConfig}
      frozenColumns={options.frozenColumns?.left}
      enableVirtualization={false}
      showTypeIcons={false}
      resizable
      structureRev={1}
    />
  );
}
