/** Elements. Names come from the network, so text is only ever text: nothing here parses HTML. */

export type Child = Node | string | number;
type Properties = Record<string, string | boolean | ((event: Event) => void)>;

/** `onX` properties are listeners, all others attributes; false: the attribute is not there. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.map((child) => (typeof child === 'number' ? String(child) : child)));
  return element;
}

export function section(title: string, width: '' | 'all' | 'third', ...children: Child[]): HTMLElement {
  return el('section', { class: width, 'aria-label': title }, el('h2', {}, title), ...children);
}

/** A column is of numbers when its name begins with `#`; with `~` it is left out on a phone. */
export function table(columns: readonly string[], rows: Child[][], empty: string): HTMLElement {
  if (rows.length === 0) return el('p', { class: 'dim' }, empty);
  const classes = columns.map((name) =>
    [name.includes('#') ? 'number' : '', name.includes('~') ? 'narrow-hidden' : ''].join(' ').trim(),
  );
  const head = columns.map((name, i) =>
    el('th', { scope: 'col', class: classes[i]! }, name.replace(/^[#~]+/, '')),
  );
  const body = rows.map((row) =>
    el('tr', {}, ...row.map((cell, i) => el('td', { class: classes[i]! }, cell))),
  );
  return el(
    'div',
    { class: 'scroll', tabindex: '0' },
    el('table', {}, el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...body)),
  );
}

/** Names and values below each other. */
export function pairs(rows: [string, Child][]): HTMLElement {
  const lines = rows.map(([name, value]) =>
    el('tr', {}, el('th', { scope: 'row' }, name), el('td', { class: 'wide' }, value)),
  );
  return el('table', {}, el('tbody', {}, ...lines));
}
