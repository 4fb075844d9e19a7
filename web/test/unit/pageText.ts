// The texts of a page as lines: what is shown, what a screen reader reads, and tooltips.

const LINES = new Set(
  (
    'ADDRESS ARTICLE ASIDE BUTTON CAPTION DD DETAILS DIALOG DIV DL DT FIELDSET FIGCAPTION FIGURE FOOTER FORM ' +
    'H1 H2 H3 HEADER LABEL LEGEND LI MAIN NAV OL OPTION P PRE SECTION SUMMARY TABLE TBODY TD TH THEAD TR UL'
  ).split(' '),
);
/** These start a line; their cells stay on it. */
const ROWS = new Set(['TR', 'DT']);
const CELLS = new Set(['TD', 'TH', 'DD']);
const ROW_ROLES = new Set(['row', 'listitem', 'option']);
const CELL_ROLES = new Set(['cell', 'columnheader']);
const ATTRIBUTES = ['aria-label', 'aria-description', 'aria-valuetext', 'placeholder', 'title'];

/** Long names come from the data, so they are clipped. */
const MAX_CHARS = 120;
const clip = (text: string): string => {
  const oneLine = text.replaceAll(/\s+/g, ' ');
  return oneLine.length > MAX_CHARS ? `${oneLine.slice(0, MAX_CHARS)} …` : oneLine;
};

/** Returns the text lines of an element. Attributes follow the text in braces. */
export function pageText(root: Element): string {
  const lines: string[] = [];
  let line = '';
  const endLine = (): void => {
    if (line.trim()) lines.push(line.replaceAll(/\s+/g, ' ').trim());
    line = '';
  };
  const visit = (element: Element): void => {
    const role = element.getAttribute('role') ?? '';
    const isCell = CELLS.has(element.tagName) || CELL_ROLES.has(role);
    const startsLine =
      ROW_ROLES.has(role) || ROWS.has(element.tagName) || (LINES.has(element.tagName) && !isCell);
    if (startsLine) endLine();
    if (isCell && line.trim()) line += ' | ';
    let wasElement = false;
    for (const child of element.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) {
        line += clip(child.textContent ?? '');
        wasElement = false;
      } else if (child instanceof Element && child.tagName !== 'svg') {
        // Elements are separated by margins.
        if (wasElement && !/\s$/.test(line)) line += ' ';
        visit(child);
        wasElement = true;
      }
    }
    const own = (element.textContent ?? '').replaceAll(/\s+/g, ' ').trim();
    const values = new Set(ATTRIBUTES.map((name) => element.getAttribute(name)));
    for (const value of values) if (value && value !== own) line += ` {${clip(value)}}`;
    if (startsLine && !ROWS.has(element.tagName)) endLine();
  };
  visit(root);
  endLine();
  return lines.join('\n');
}
