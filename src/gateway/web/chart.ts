/** A chart of the last minutes that moves, in the page's colours. */
import uPlot from 'uplot';
import { el } from './dom.ts';

export interface Line {
  name: string;
  /** Of the style sheet. */
  colour: '--out' | '--in' | '--bad';
}

/** Points that are kept: five minutes of seconds. */
const KEPT = 300;
const HEIGHT = 150;

/** Seconds since 1970 as the local time of day. */
const clock = (time: number) => new Date(time * 1000).toLocaleTimeString([], { hour12: false });

export class Chart {
  readonly element: HTMLElement;
  readonly #lines: readonly Line[];
  readonly #format: (value: number) => string;
  readonly #data: number[][];
  readonly #resized: ResizeObserver;
  #plot: uPlot | null = null;

  constructor(label: string, lines: readonly Line[], format: (value: number) => string) {
    this.#lines = lines;
    this.#format = format;
    this.#data = [[], ...lines.map(() => [])];
    this.element = el('div', { class: 'chart', role: 'img', 'aria-label': label });
    this.#resized = new ResizeObserver(() => this.#fit());
    this.#resized.observe(this.element);
  }

  /** `time`: seconds since 1970; a value for each line. */
  add(time: number, values: readonly number[]): void {
    for (const [i, value] of [time, ...values].entries()) {
      this.#data[i]!.push(value);
      if (this.#data[i]!.length > KEPT) this.#data[i]!.shift();
    }
    this.#plot?.setData(this.#data as uPlot.AlignedData);
  }

  /** In the colours of the moment. */
  draw(): void {
    const width = this.element.clientWidth;
    if (width === 0) return;
    this.#plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour('--dim'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
    };
    const show = (_: uPlot, value: number | null) => (value === null ? '' : this.#format(value));
    const options: uPlot.Options = {
      width,
      height: HEIGHT,
      series: [
        { label: 'time', value: (_, time) => (time === null ? '' : clock(time)) },
        ...this.#lines.map((line) => ({
          label: line.name,
          stroke: colour(line.colour),
          width: 1.5,
          points: { show: false },
          value: show,
        })),
      ],
      axes: [
        { ...axis, size: 26, space: 80, values: (_, times) => times.map(clock) },
        { ...axis, size: 78, values: (_, values) => values.map((value) => this.#format(value)) },
      ],
      scales: { y: { range: (_, _least, most) => [0, Math.max(most * 1.1, 10)] } },
      cursor: { drag: { x: false, y: false } },
    };
    this.#plot = new uPlot(options, this.#data as uPlot.AlignedData, this.element);
  }

  close(): void {
    this.#resized.disconnect();
    this.#plot?.destroy();
  }

  #fit(): void {
    const width = this.element.clientWidth;
    if (this.#plot === null) this.draw();
    else if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }
}
