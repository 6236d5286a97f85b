/** What a person would find wrong with the picture; the driver tells it. */
export interface Found {
  problems: string[];
  /** Panels without data, which may be as it should be. */
  empty: string[];
}

export const found: Found = { problems: [], empty: [] };

/** Remember a problem, once. */
export function problem(text: string): void {
  if (!found.problems.includes(text)) {
    found.problems.push(text);
  }
}
