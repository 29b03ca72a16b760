'use strict';
// Charts as inline SVG. All charts of the page share one cursor, a step; a chart draws itself anew when its width,
// its data, the colour scheme or the cursor changes.

const SVG = 'http://www.w3.org/2000/svg';

// Elements with attributes and children; strings become text, never HTML.
function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined));
  return element;
}
const h = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => make(document.createElementNS(SVG, tag), attributes, children);

// ---- numbers

const isNumber = v => typeof v === 'number' && Number.isFinite(v);
function significant(v, digits) {
  if (!isNumber(v)) return '–';
  if (v === 0) return '0';
  const size = Math.abs(v);
  if (size < 1e-4 || size >= 1e6) return v.toExponential(Math.max(0, digits - 1)).replace('e+', 'e').replace('-', '−').replace('e-', 'e−');
  const text = v.toPrecision(digits);
  return (text.includes('e') ? String(Number(text)) : text).replace('-', '−');
}
const brief = v => significant(v, 3).replace(/(\.\d*?)0+(?=$|e)/, '$1').replace(/\.(?=$|e)/, '');
function count(n) {
  if (!isNumber(n)) return '–';
  for (const [size, unit] of [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'k']])
    if (n >= size) return (n / size).toPrecision(3) + ' ' + unit;
  return String(Math.round(n));
}
const percent = v => isNumber(v) ? (100 * v).toFixed(v !== 0 && v < 0.1 ? 1 : 0) + ' %' : '–';
const whole = n => isNumber(n) ? n.toLocaleString('en').replaceAll(',', '\u202f') : '–';
function duration(seconds) {
  if (!isNumber(seconds)) return '–';
  const n = Math.round(seconds);
  if (n < 60) return n + ' s';
  if (n < 3600) return Math.floor(n / 60) + ' min ' + n % 60 + ' s';
  if (n < 86400) return Math.floor(n / 3600) + ' h ' + Math.floor(n % 3600 / 60) + ' min';
  return Math.floor(n / 86400) + ' d ' + Math.floor(n % 86400 / 3600) + ' h';
}

// Round values between low and high, about `wanted` of them.
function linearTicks(low, high, wanted) {
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * power).find(v => v >= raw);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) ticks.push(i * step);
  return ticks;
}
function logTicks(low, high, wanted) {
  if (high / low < 10) return linearTicks(low, high, wanted);
  const decades = Math.log10(high / low), factors = decades <= wanted / 2 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil(decades / wanted));
  const ticks = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); ++e)
    if (e % every === 0 || factors.length > 1)
      for (const f of factors) {
        const v = f * 10 ** e;
        if (v >= low * 0.999 && v <= high * 1.001) ticks.push(v);
      }
  return ticks;
}

// Index of the value nearest to `wanted` in an ascending list.
function nearest(list, wanted) {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - list[low - 1] < list[low] - wanted ? low - 1 : low;
}

// Mean over `reach` neighbours on either side: no lag, unlike a running mean. Fewer on both sides near the start,
// where a loss falls fast.
function smooth(values, reach) {
  const sums = [0], counts = [0];
  for (const v of values) {
    sums.push(sums[sums.length - 1] + (isNumber(v) ? v : 0));
    counts.push(counts[counts.length - 1] + (isNumber(v) ? 1 : 0));
  }
  return values.map((v, i) => {
    const r = Math.min(reach, i), from = i - r, to = Math.min(values.length, i + r + 1);
    return isNumber(v) ? (sums[to] - sums[from]) / (counts[to] - counts[from]) : null;
  });
}

// ---- the cursor

const cursor = {step: null, watchers: new Set()};
function moveCursor(step) {
  if (step === cursor.step) return;
  cursor.step = step;
  for (const watcher of cursor.watchers) watcher();
}

// Makes `element` a slider over `steps()`: pointer, arrow keys, Home, End, Page up and down, Escape. vertical(delta):
// up and down keys, if it has rows. describe(): the text of the present position.
function steerable(element, {label, steps, stepAt, vertical, describe}) {
  const tell = () => {
    const list = steps();
    if (list.length === 0) return;
    element.setAttribute('aria-valuemin', list[0]);
    element.setAttribute('aria-valuemax', list[list.length - 1]);
    element.setAttribute('aria-valuenow', cursor.step === null ? list[list.length - 1] : cursor.step);
    element.setAttribute('aria-valuetext', describe());
  };
  make(element, {tabindex: 0, role: 'slider', 'aria-label': label}, []);
  element.addEventListener('pointermove', e => moveCursor(stepAt(e)));
  element.addEventListener('pointerdown', e => moveCursor(stepAt(e)));
  element.addEventListener('pointerleave', e => { if (e.pointerType === 'mouse') moveCursor(null); });
  element.addEventListener('keydown', e => {
    const list = steps(), last = list.length - 1;
    if (last < 0 || e.ctrlKey || e.metaKey || e.altKey) return;
    const at = cursor.step === null ? last : nearest(list, cursor.step), far = Math.max(1, Math.round(last / 20));
    const to = {ArrowLeft: at - 1, ArrowRight: at + 1, PageDown: at - far, PageUp: at + far, Home: 0, End: last}[e.key];
    if (to !== undefined) moveCursor(list[Math.min(last, Math.max(0, to))]);
    else if (e.key === 'Escape') moveCursor(null);
    else if (vertical && (e.key === 'ArrowUp' || e.key === 'ArrowDown')) vertical(e.key === 'ArrowUp' ? -1 : 1);
    else return;
    e.preventDefault();
    tell();
  });
  element.addEventListener('focus', tell);
  return tell;
}

// ---- frames

const LEFT = 66, RIGHT = 10, BOTTOM = 24, TOP = 8;

// A figure whose drawing(width) fills an SVG as wide as the page leaves room for.
function figure(className, parts, height, draw) {
  const svg = s('svg', {class: 'chart', focusable: 'true'});
  const element = h('figure', {class: className}, ...parts.before, h('div', {class: 'plot'}, svg), ...parts.after);
  const chart = {element, svg, width: 0};
  chart.redraw = () => {
    if (chart.width === 0) return;
    const tall = height(chart.width);
    svg.setAttribute('viewBox', '0 0 ' + chart.width + ' ' + tall);
    svg.setAttribute('height', tall);
    svg.replaceChildren(...draw(chart.width, tall).flat());
  };
  new ResizeObserver(entries => {
    const width = Math.round(entries[0].contentRect.width);
    if (width === chart.width || width === 0) return;
    chart.width = width;
    chart.redraw();
  }).observe(svg.parentNode);
  return chart;
}

function stepAxis(x, range, left, width, bottom) {
  const wanted = Math.max(2, Math.floor(width / 110));
  return [
    ...linearTicks(range[0], range[1], wanted).filter(Number.isInteger).map(v => s('g', {},
        s('line', {class: 'tick', x1: x(v), x2: x(v), y1: bottom, y2: bottom + 4}),
        s('text', {class: 'label', x: Math.min(x(v), width - 4 - 3.5 * whole(v).length), y: bottom + 17, 'text-anchor': 'middle'}, whole(v)))),
    s('text', {class: 'label', x: left - 6, y: bottom + 17, 'text-anchor': 'end'}, 'step')];
}

function cursorLine(x, range, top, bottom) {
  if (cursor.step === null || cursor.step < range[0] || cursor.step > range[1]) return [];
  return [s('line', {class: 'cursor', x1: x(cursor.step), x2: x(cursor.step), y1: top, y2: bottom})];
}

// ---- curves

// A curve: {key, label, color, steps, mean, min, max, dots, dashed, smoothed}. hidden: a set of keys, changed by the
// legend's buttons. format(value): text of a value.
function lineChart({title, unit, format, hidden, changed, height}) {
  let curves = [], range = [0, 1], logarithmic = false;
  const legend = h('ul', {class: 'legend'});
  const where = h('span', {class: 'where'});
  const table = h('table', {});
  const numbers = h('details', {class: 'numbers'}, h('summary', {}, 'Numbers'), h('div', {class: 'scroll'}, table));
  const shown = () => curves.filter(c => !hidden.has(c.key));

  const valueAt = (c, step) => {
    const i = step === null ? c.steps.length - 1 : nearest(c.steps, step);
    return i < 0 ? null : c.mean[i];
  };
  const values = [];
  function readout() {
    where.textContent = cursor.step === null ? 'latest' : 'step ' + whole(cursor.step);
    for (const [c, element] of values) element.textContent = format(valueAt(c, cursor.step));
  }
  function drawLegend() {
    values.length = 0;
    legend.replaceChildren(...curves.map(c => {
      const value = h('b', {});
      values.push([c, value]);
      return h('li', {}, h('button', {
        type: 'button', 'aria-pressed': String(!hidden.has(c.key)), title: 'show or hide',
        onclick: () => { hidden.has(c.key) ? hidden.delete(c.key) : hidden.add(c.key); changed(); }
      }, s('svg', {class: 'swatch', viewBox: '0 0 22 10', 'aria-hidden': 'true'},
          s('line', {x1: 0, x2: 22, y1: 5, y2: 5, stroke: c.color, 'stroke-width': 2, 'stroke-dasharray': c.dashed ? '4 3' : null}),
          c.dots ? s('circle', {cx: 11, cy: 5, r: 3, fill: c.color}) : null), c.label), value);
    }));
  }
  function drawTable() {
    if (!numbers.open) return;
    const columns = shown(), base = columns.reduce((a, c) => c.steps.length > a.length ? c.steps : a, []);
    const rows = 20, picked = [];
    for (let i = 0; i < Math.min(rows, base.length); ++i)
      picked.push(base[Math.round(i * (base.length - 1) / Math.max(1, Math.min(rows, base.length) - 1))]);
    table.replaceChildren(
        h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'step'), columns.map(c => h('th', {scope: 'col'}, c.label)))),
        h('tbody', {}, picked.map(step => h('tr', {}, h('th', {scope: 'row'}, whole(step)),
            columns.map(c => h('td', {}, format(valueAt(c, step))))))));
  }
  numbers.addEventListener('toggle', drawTable);

  let scale = null;
  function draw(width, tall) {
    const bottom = tall - BOTTOM, visible = shown();
    const inside = c => c.steps.map((step, i) => i).filter(i => c.steps[i] >= range[0] && isNumber(c.mean[i]));
    let low = Infinity, high = -Infinity;
    for (const c of visible)
      for (const i of inside(c)) {
        const a = c.min ? c.min[i] : c.mean[i], b = c.max ? c.max[i] : c.mean[i];
        if (!logarithmic || a > 0) low = Math.min(low, a);
        high = Math.max(high, b);
      }
    if (!(high > low)) {
      if (!isNumber(low)) [low, high] = [0, 1];
      else [low, high] = low === 0 ? [0, 1] : [low - Math.abs(low) / 10, low + Math.abs(low) / 10];
    }
    const log = logarithmic && low > 0;
    if (!log) {
      // From zero where the range nearly reaches it: lengths can then be compared.
      const room = (high - low) * 0.05;
      low = low >= 0 && low < 0.35 * high ? 0 : low - room;
      high += room;
    }
    const x = v => LEFT + (v - range[0]) / (range[1] - range[0]) * (width - LEFT - RIGHT);
    const at = log ? v => Math.log(Math.max(v, low / 2) / low) / Math.log(high / low) : v => (v - low) / (high - low);
    const y = v => bottom - at(v) * (bottom - TOP);
    scale = {x, inverse: px => range[0] + (px - LEFT) / (width - LEFT - RIGHT) * (range[1] - range[0])};
    const wanted = Math.max(3, Math.round((bottom - TOP) / 45));
    const parts = [];
    for (const v of log ? logTicks(low, high, wanted) : linearTicks(low, high, wanted))
      parts.push(s('line', {class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v)}),
          s('text', {class: 'label', x: LEFT - 8, y: y(v) + 4, 'text-anchor': 'end'}, format(v, true)));
    parts.push(...stepAxis(x, range, LEFT, width, bottom));
    const p = (step, v) => x(step).toFixed(1) + ',' + y(v).toFixed(1);
    const lines = [], fronts = [];
    for (const c of visible) {
      const at = inside(c);
      if (at.length === 0) continue;
      if (c.min && !c.dots) {
        const up = at.map(i => p(c.steps[i], c.max[i])), down = at.map(i => p(c.steps[i], c.min[i])).reverse();
        lines.push(s('polygon', {class: 'band', points: up.concat(down).join(' '), fill: c.color}));
      }
      const smoothing = c.smoothed && at.length > 60;
      const points = list => at.map(i => p(c.steps[i], list[i])).join(' ');
      const attributes = {fill: 'none', stroke: c.color, 'stroke-dasharray': c.dashed ? '5 4' : null};
      if (smoothing && !c.min) lines.push(s('polyline', {class: 'raw', points: points(c.mean), ...attributes}));
      fronts.push(s('polyline', {class: 'curve', points: points(smoothing ? smooth(c.mean, Math.round(at.length / 60)) : c.mean), ...attributes}));
      if (c.dots && at.length <= 120)
        for (const i of at) fronts.push(s('circle', {class: 'dot', cx: x(c.steps[i]), cy: y(c.mean[i]), r: at.length > 50 ? 2 : 3, fill: c.color}));
    }
    parts.push(...lines, ...fronts, ...cursorLine(x, range, TOP, bottom));
    if (cursor.step !== null && cursor.step >= range[0])
      for (const c of visible) {
        const i = nearest(c.steps, cursor.step);
        if (i >= 0 && isNumber(c.mean[i])) parts.push(s('circle', {class: 'at', cx: x(c.steps[i]), cy: y(c.mean[i]), r: 4, fill: c.color}));
      }
    return parts;
  }

  const chart = figure('curves', {
    before: [h('figcaption', {}, h('h3', {}, title, ' ', h('span', {class: 'unit'}, unit)), h('div', {class: 'readout'}, where, legend))],
    after: [numbers]
  }, width => height || (width < 500 ? 210 : 260), draw);
  const describe = () => (cursor.step === null ? 'latest: ' : 'step ' + cursor.step + ': ') +
      shown().map(c => c.label + ' ' + format(valueAt(c, cursor.step))).join(', ');
  const tell = steerable(chart.svg, {
    label: title + ' by step; arrow keys move the cursor',
    steps: () => shown().reduce((a, c) => c.steps.length > a.length ? c.steps : a, []).filter(v => v >= range[0]),
    stepAt: e => {
      const list = shown().reduce((a, c) => c.steps.length > a.length ? c.steps : a, []);
      const box = chart.svg.getBoundingClientRect();
      return list.length && scale ? list[nearest(list, scale.inverse((e.clientX - box.left) * chart.width / box.width))] : null;
    },
    describe
  });
  cursor.watchers.add(() => { readout(); chart.redraw(); });
  chart.setUnit = text => { chart.element.querySelector('.unit').textContent = text; };
  chart.update = (newCurves, newRange, newLogarithmic) => {
    curves = newCurves.filter(c => c.steps.length > 0);
    range = newRange;
    logarithmic = newLogarithmic;
    chart.element.hidden = curves.length === 0;
    drawLegend();
    readout();
    drawTable();
    chart.redraw();
    tell();
  };
  return chart;
}

// ---- heat maps

// map: {steps, rows, value(row, column), color(value), names or null, describe(row, column): of a value,
// summary(column): of all rows, version: changes with the data}. rowHeight(rows).
function heatMap({title, rowHeight, left}) {
  let map = null, range = [0, 1], row = 0, pointed = false;
  const readout = h('p', {class: 'readout'});
  const heading = h('h3', {class: 'small'}, title);
  const column = () => cursor.step === null ? map.steps.length - 1 : nearest(map.steps, cursor.step);
  const tall = () => map.rows * rowHeight(map.rows);
  const x = width => v => left + (v - range[0]) / (range[1] - range[0]) * (width - left - RIGHT);

  // One pixel per row and point of the plot, stretched without smoothing.
  function image(width) {
    const canvas = document.createElement('canvas'), plot = Math.max(1, Math.round(width - left - RIGHT));
    canvas.width = plot;
    canvas.height = map.rows;
    const context = canvas.getContext('2d'), toX = x(width);
    map.steps.forEach((step, c) => {
      const before = c > 0 ? map.steps[c - 1] : Math.max(range[0], step - (map.steps.length > 1 ? map.steps[1] - step : step));
      const from = Math.max(0, Math.round(toX(before) - left)), to = Math.round(toX(step) - left);
      if (to <= from) return;
      for (let r = 0; r < map.rows; ++r) {
        context.fillStyle = map.color(map.value(r, c));
        context.fillRect(from, r, to - from, 1);
      }
    });
    return canvas.toDataURL();
  }
  let cached = {key: '', url: ''};
  function draw(width) {
    const bottom = tall() + 2;
    const key = [width, map.steps.length, map.steps[map.steps.length - 1], range, map.version].join();
    if (cached.key !== key) cached = {key, url: image(width)};
    const high = rowHeight(map.rows);
    const parts = [
      s('rect', {class: 'ground', x: left, y: 2, width: width - left - RIGHT, height: tall()}),
      s('image', {href: cached.url, x: left, y: 2, width: width - left - RIGHT, height: tall(), preserveAspectRatio: 'none'}),
      ...stepAxis(x(width), range, left, width, bottom), ...cursorLine(x(width), range, 2, bottom)];
    const named = map.names ? map.names.map((name, r) => [name, r]) : [['0', 0], [String(map.rows - 1), map.rows - 1]];
    const every = Math.ceil(13 / high);
    for (const [name, r] of named)
      if (!map.names || r % every === 0)
        parts.push(s('text', {class: 'label', x: left - 6, y: 2 + (r + 0.5) * high + 4, 'text-anchor': 'end'}, name));
    if (steered())
      parts.push(s('rect', {class: 'row', x: left - 1, y: 1 + row * high, width: width - left - RIGHT + 2, height: high + 2}));
    return parts;
  }
  const chart = figure('heat', {before: [heading], after: [readout]}, () => (map ? tall() : 10) + 2 + BOTTOM, draw);
  const steered = () => pointed || document.activeElement === chart.svg;
  const describe = () => (cursor.step === null ? 'latest: ' : 'step ' + whole(map.steps[column()]) + ': ') +
      (steered() ? map.describe(row, column()) : map.summary(column()));
  const tell = steerable(chart.svg, {
    label: title + ' by step; left and right keys move the cursor, up and down choose the row',
    steps: () => map.steps,
    stepAt: e => {
      const box = chart.svg.getBoundingClientRect(), scale = chart.width / box.width;
      row = Math.min(map.rows - 1, Math.max(0, Math.floor(((e.clientY - box.top) * scale - 2) / rowHeight(map.rows))));
      const step = range[0] + ((e.clientX - box.left) * scale - left) / (chart.width - left - RIGHT) * (range[1] - range[0]);
      // A cell ends at its step.
      const c = map.steps.findIndex(v => v >= step);
      const to = map.steps[c < 0 ? map.steps.length - 1 : c];
      if (to === cursor.step) refresh();
      return to;
    },
    vertical: delta => { row = Math.min(map.rows - 1, Math.max(0, row + delta)); refresh(); },
    describe
  });
  function refresh() {
    if (!map) return;
    readout.textContent = describe();
    chart.redraw();
  }
  chart.svg.addEventListener('pointerenter', () => { pointed = true; });
  chart.svg.addEventListener('pointerleave', () => { pointed = false; refresh(); });
  chart.svg.addEventListener('focus', refresh);
  chart.svg.addEventListener('blur', refresh);
  cursor.watchers.add(refresh);
  chart.update = (newMap, newRange) => {
    map = newMap;
    range = newRange;
    row = Math.min(row, map.rows - 1);
    refresh();
    tell();
  };
  return chart;
}
