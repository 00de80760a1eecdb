/**
 * What the plots have in common: a panel with its own background, in light or dark as the reader's system is, so that
 * it is readable on any page; series that differ in shape as well as in colour.
 */

/** Text as XML. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
}

export type Attributes = Record<string, string | number>;

/** `<name a="1">content</name>`; content is XML already. */
export function element(name: string, attributes: Attributes, content = ''): string {
  const words = Object.entries(attributes).map(([key, value]) => {
    const text = typeof value === 'number' ? String(Math.round(value * 100) / 100) : escapeXml(value);
    return ` ${key}="${text}"`;
  });
  return content === '' ? `<${name}${words.join('')}/>` : `<${name}${words.join('')}>${content}</${name}>`;
}

export function text(x: number, y: number, content: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeXml(content));
}

/** Colours of series in light and dark, told apart by the colour-blind too (after Okabe and Ito). */
const COLOURS = [
  ['#0067b1', '#5cb3f5'],
  ['#b35900', '#f0a04b'],
  ['#00785a', '#3ecf9f'],
  ['#a2407f', '#e58cc4'],
  ['#7a6a00', '#e0cf3c'],
  ['#5a4fcf', '#a79dff'],
  ['#555555', '#b0b0b0'],
] as const;

const SHAPES = ['circle', 'diamond', 'square', 'triangle', 'cross', 'ring', 'bar'] as const;

/** The mark of series number `series` at (x, y). */
export function mark(series: number, x: number, y: number, size = 4.5): string {
  const colour = { class: `s${series % COLOURS.length}` };
  const line = { class: `l${series % COLOURS.length}` };
  const r = size;
  switch (SHAPES[series % SHAPES.length]!) {
    case 'circle':
      return element('circle', { cx: x, cy: y, r: r * 1.15, ...colour });
    case 'ring':
      return element('circle', { cx: x, cy: y, r: r * 0.9, ...line });
    case 'square':
      return element('rect', { x: x - r * 0.9, y: y - r * 0.9, width: r * 1.8, height: r * 1.8, ...colour });
    case 'diamond':
      return polygon([x, y - r * 1.25, x + r * 1.25, y, x, y + r * 1.25, x - r * 1.25, y], colour);
    case 'triangle':
      return polygon([x, y - r * 1.2, x + r * 1.2, y + r, x - r * 1.2, y + r], colour);
    case 'cross':
      return element('path', {
        d: path([x - r, y - r, x + r, y + r], [x - r, y + r, x + r, y - r]),
        ...line,
      });
    case 'bar':
      return element('path', { d: path([x, y - r * 1.3, x, y + r * 1.3]), ...line });
  }
}

function polygon(points: number[], attributes: Attributes): string {
  return element('polygon', { points: points.map((value) => value.toFixed(1)).join(' '), ...attributes });
}

/** Lines, each through its points x, y, x, y... */
export function path(...lines: number[][]): string {
  return lines
    .map((points) => {
      const pairs: string[] = [];
      for (let i = 0; i < points.length; i += 2)
        pairs.push(`${points[i]!.toFixed(1)} ${points[i + 1]!.toFixed(1)}`);
      return `M${pairs.join('L')}`;
    })
    .join('');
}

const rules = (dark: 0 | 1) =>
  COLOURS.map(
    (pair, i) => `.s${i}{fill:${pair[dark]}}.l${i}{fill:none;stroke:${pair[dark]};stroke-width:2}`,
  ).join('');

const STYLE = [
  'text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#1f2328}',
  '.title{font-size:14px;font-weight:600}.soft{fill:#59636e}.panel{fill:#ffffff;stroke:#d1d9e0}',
  '.grid{stroke:#e3e8ed;fill:none}.base{stroke:#1f2328;fill:none}.range{stroke-width:1.5;opacity:.45}',
  '.band{fill:#f6f8fa}.bad{fill:#c00f2e}',
  rules(0),
  '@media(prefers-color-scheme:dark){',
  'text{fill:#e6edf3}.soft{fill:#9198a1}.panel{fill:#0d1117;stroke:#3d444d}',
  '.grid{stroke:#262c36}.base{stroke:#e6edf3}.band{fill:#151b23}.bad{fill:#ff7b72}',
  rules(1),
  '}',
].join('');

/** A whole file. `title` is what a screen reader says. */
export function document(width: number, height: number, title: string, content: string): string {
  const panel = element('rect', {
    x: 0.5,
    y: 0.5,
    width: width - 1,
    height: height - 1,
    rx: 6,
    class: 'panel',
  });
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    panel,
    content,
    '</svg>',
    '',
  ].join('\n');
}

/** Where marks of a legend go, wrapped to the width; returns its XML and the y of what comes below. */
export function legend(names: readonly string[], left: number, top: number, right: number): [string, number] {
  let x = left;
  let y = top;
  const parts = names.map((name, series) => {
    const width = 24 + name.length * 7;
    if (x + width > right && x > left) {
      x = left;
      y += 18;
    }
    const part = mark(series, x + 6, y - 4) + text(x + 16, y, name);
    x += width;
    return part;
  });
  return [parts.join('\n'), y + 18];
}
