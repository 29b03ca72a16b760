// The page: what stands where. Elements are made once; update() fills them again when newer data arrives, so that
// scroll, focus, open parts and the cursor stay where they are.

let runs = JSON.parse(document.getElementById('data').textContent).runs;
const single = runs.length === 1;

// What a reader has chosen; kept over a reload as well.
const memory = 'frugal-report:' + location.pathname;
const chosen = {unit: 'nats', log: false, from: 0, run: 0, sample: null, all: false, hidden: [], open: []};
try {
  Object.assign(chosen, JSON.parse(sessionStorage.getItem(memory) || '{}'));
} catch (e) { /* a browser without storage: nothing is kept */ }
if (chosen.run >= runs.length) chosen.run = 0;
const hidden = new Set(chosen.hidden);
function remember() {
  chosen.hidden = [...hidden];
  chosen.open = [...document.querySelectorAll('details')].map(d => d.open);
  try {
    sessionStorage.setItem(memory, JSON.stringify(chosen));
  } catch (e) { /* as above */ }
}
const choose = (key, value) => { chosen[key] = value; update(); };

// ---- colours

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const runColor = r => 'var(--run-' + r % 8 + ')';
const channels = color => [1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16));
function mix(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return 'rgb(' + a.map((v, i) => Math.round(v + (b[i] - v) * Math.min(1, Math.max(0, share)))).join(',') + ')';
}

// ---- parts that are used more than once

function choice(label, options, key) {
  const buttons = options.map(([value, text]) => [value, h('button', {type: 'button', onclick: () => choose(key, value)}, text)]);
  const element = h('div', {class: 'choice', role: 'group', 'aria-label': label}, buttons.map(b => b[1]));
  return {element, update: () => buttons.forEach(([value, b]) => b.setAttribute('aria-pressed', String(chosen[key] === value)))};
}
function section(id, title, note, ...content) {
  const element = h('section', {id, 'aria-labelledby': id + '-title'}, h('h2', {id: id + '-title'}, title),
      note ? h('p', {class: 'note'}, note) : null, ...content);
  return element;
}

// ---- curves of the runs

const label = (r, text) => single ? text : runs[r].name + (text ? ', ' + text : '');
// Charts of one kind of curve name the runs alone.
const only = text => single ? text : '';
// The curve `name` of every run that has it. options: what differs between the runs' curves of this kind.
function curvesOf(name, axis, text, options) {
  return runs.map((run, r) => run[name] ? {
    key: r + name, label: label(r, text), steps: run[axis], width: run.width, ...run[name],
    ...options, color: single ? options.color : runColor(r)
  } : null).filter(c => c !== null);
}
// Nats per token as bits per byte, by the validation text's tokens per byte.
function inBits(curve, r) {
  const run = runs[r], last = list => list.mean[list.mean.length - 1];
  const factor = run.val_bits && run.val_loss ? last(run.val_bits) / last(run.val_loss) : null;
  if (!factor) return null;
  const times = list => list && list.map(v => isNumber(v) ? v * factor : null);
  return {...curve, mean: times(curve.mean), min: times(curve.min), max: times(curve.max)};
}
function lossCurves() {
  const train = {color: 'var(--train)', smoothed: true}, check = {color: 'var(--check)', dots: true};
  const mtp = {color: 'var(--mtp)', smoothed: true, dashed: true}, mtpCheck = {color: 'var(--mtp)', dots: true, dashed: true};
  const bits = chosen.unit === 'bits';
  const trained = (name, text, options) => curvesOf(name, 'step_axis', text, options)
      .map(c => bits ? inBits(c, parseInt(c.key, 10)) : c).filter(c => c !== null);
  return [
    ...trained('loss', 'training', train),
    ...curvesOf(bits ? 'val_bits' : 'val_loss', 'val_axis', 'validation', check),
    ...trained('mtp_loss', 'MTP training', mtp),
    ...curvesOf(bits ? 'val_mtp_bits' : 'val_mtp_loss', 'val_axis', 'MTP validation', mtpCheck)];
}
if (!single && chosen.hidden.length === 0)
  for (let r = 0; r < runs.length; ++r) ['mtp_loss', 'val_mtp_loss', 'val_mtp_bits'].forEach(k => hidden.add(r + k));

const stepsAll = () => Math.max(...runs.map(r => r.step));
function stepRange() {
  const end = Math.max(2, stepsAll());
  return [chosen.from === 0 ? Math.min(1, ...runs.map(r => r.step_axis[0])) : Math.round(end * chosen.from), end];
}

const chart = (title, unit, format) => lineChart({title, unit, format, hidden, changed: () => update()});
const plain = v => significant(v, 4), tick = v => brief(v);
const charts = {
  loss: chart('Training and validation', 'nats per token', (v, axis) => axis ? tick(v) : plain(v)),
  lr: chart('Learning rate', '', (v, axis) => axis ? tick(v) : significant(v, 3)),
  norm: chart('Gradient norm, before clipping', '', (v, axis) => axis ? tick(v) : significant(v, 3)),
  speed: chart('Speed', 'tokens per second', (v, axis) => axis ? count(v).replace(/\.0+ /, ' ') : count(v)),
  peak: chart('Share of the cores’ measured f32 peak', '', v => percent(v)),
  acceptance: chart('MTP drafts that equal the model’s own choice', '', v => percent(v))
};

// ---- heat maps of one run

const gradientMap = heatMap({title: 'Gradient norm by part of the model', left: 84, rowHeight: rows => rows > 24 ? 8 : 16});
const gradientKey = h('div', {class: 'key'});
function gradientData(run) {
  const g = run.grad_norms, values = g.max.flat().filter(v => v > 0);
  const low = Math.log(Math.min(...values)), high = Math.max(Math.log(Math.max(...values)), low + 1e-9);
  const from = style('--heat-0'), to = style('--heat-1');
  gradientKey.replaceChildren(brief(Math.exp(low)), h('i', {style: 'background:linear-gradient(to right,' + from + ',' + to + ')'}),
      brief(Math.exp(high)), h('span', {}, g.width > 1 ? 'largest of each ' + g.width + ' steps, logarithmic' : 'logarithmic'));
  return {
    steps: g.step, rows: g.names.length, names: g.names, version: run.name + run.updated + from,
    value: (r, c) => g.max[r][c],
    color: v => v > 0 ? mix(from, to, (Math.log(v) - low) / (high - low)) : 'transparent',
    describe: (r, c) => g.names[r] + ' ' + significant(g.max[r][c], 3),
    summary: c => {
      const now = g.max.map(row => row[c]), r = now.indexOf(Math.max(...now));
      return 'largest in ' + g.names[r] + ', ' + significant(now[r], 3);
    }
  };
}

// Bytes of src/report/expert_history.h.
const decode = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const LOAD_SPAN = 2;  // powers of two that the colours show
function expertData(run) {
  const e = run.experts, load = decode(e.load), bias = decode(e.bias), columns = e.step.length;
  const rows = load.length / columns / e.layers.length;
  const loadOf = b => b === 0 ? 0 : 2 ** ((b - 128) / 32), biasOf = b => (b - 128) / 127 * e.bias_scale;
  const [none, less, more, low, high] = ['--even', '--less', '--more', '--negative', '--positive'].map(style);
  const signed = b => (b >= 128 ? '+' : '−') + brief(Math.abs(biasOf(b)));
  const text = (l, r, c) => {
    const at = (l * rows + r) * columns + c;
    return 'expert ' + r + ', ' + loadOf(load[at]).toFixed(2) + ' × mean, bias ' + signed(bias[at]);
  };
  const column = (bytes, l, c) => Array.from({length: rows}, (_, r) => bytes[(l * rows + r) * columns + c]);
  const map = (bytes, color, l, summary) => ({
    steps: e.step, rows, names: null, version: run.name + run.updated + none, color, summary,
    value: (r, c) => bytes[(l * rows + r) * columns + c], describe: (r, c) => text(l, r, c)
  });
  const busiest = (l, c) => {
    const now = column(load, l, c), most = Math.max(...now);
    return 'busiest expert ' + now.indexOf(most) + ' with ' + loadOf(most).toFixed(2) + ' × the mean';
  };
  const extremes = (l, c) => {
    const now = column(bias, l, c);
    return signed(Math.min(...now)) + ' to ' + signed(Math.max(...now));
  };
  const loadColor = b => {
    const power = b === 0 ? -LOAD_SPAN : (b - 128) / 32;
    return mix(none, power < 0 ? less : more, Math.abs(power) / LOAD_SPAN);
  };
  const biasColor = b => mix(none, b < 128 ? low : high, Math.abs(b - 128) / 127);
  return e.layers.map((name, l) => ({
    name, load: map(load, loadColor, l, c => busiest(l, c)), bias: map(bias, biasColor, l, c => extremes(l, c))}));
}
const expertMaps = [];
const expertGrid = h('div', {class: 'experts'}), expertKey = h('div', {class: 'keys'});
function updateExperts(run) {
  const layers = expertData(run), rowHeight = rows => Math.min(16, Math.max(1, Math.round(110 / rows)));
  while (expertMaps.length < layers.length) {
    const name = layers[expertMaps.length].name, capital = name[0].toUpperCase() + name.slice(1);
    const load = heatMap({title: capital + ': tokens per expert', left: 36, rowHeight});
    const bias = heatMap({title: capital + ': router bias', left: 36, rowHeight});
    expertMaps.push({load, bias});
    expertGrid.append(load.element, bias.element);
  }
  expertMaps.forEach((maps, l) => [maps.load, maps.bias].forEach(m => { m.element.hidden = l >= layers.length; }));
  layers.forEach((layer, l) => {
    expertMaps[l].load.update(layer.load, stepRange());
    expertMaps[l].bias.update(layer.bias, stepRange());
  });
  const ramp = names => h('i', {style: 'background:linear-gradient(to right,' + names.map(style).join(',') + ')'});
  const scale = brief(run.experts.bias_scale);
  expertKey.replaceChildren(
      h('div', {class: 'key'}, 'tokens: ¼ of the mean', ramp(['--less', '--even', '--more']), '4 × mean'),
      h('div', {class: 'key'}, 'bias: −' + scale, ramp(['--negative', '--even', '--positive']), '+' + scale));
}

// ---- head

const progress = h('progress', {max: 1, 'aria-label': 'steps done'});
const state = h('span', {class: 'state', role: 'status'}), news = h('span', {}), tiles = h('dl', {class: 'tiles'});
const notices = h('div', {class: 'notices'});
function tile(name, value, unit, detail) {
  return h('div', {}, h('dt', {}, name), h('dd', {}, h('b', {}, value), unit ? ' ' + unit : null), h('dd', {class: 'detail'}, detail || ''));
}
const lastOf = c => { for (let i = c ? c.mean.length - 1 : -1; i >= 0; --i) if (isNumber(c.mean[i])) return c.mean[i]; return null; };
// Of the last twentieth of a curve.
function recent(c) {
  if (!c) return null;
  const list = c.mean.slice(-Math.max(5, Math.round(c.mean.length / 20))).filter(isNumber);
  return list.reduce((a, v) => a + v, 0) / list.length;
}
function updateHead(run) {
  const t = run.totals;
  progress.value = run.step / run.steps;
  state.textContent = run.state;
  state.dataset.state = run.state;
  tiles.replaceChildren(
      tile('Step', whole(run.step), 'of ' + whole(run.steps),
          run.state === 'running' ? duration(run.eta_seconds) + ' left' : percent(run.step / run.steps)),
      tile('Loss', significant(recent(run.loss), 4), 'nats/token', 'first step ' + significant(run.first_loss, 4)),
      tile('Validation', significant(run.last_bits, 4), 'bits per byte',
          isNumber(run.best_bits) ? 'best ' + significant(run.best_bits, 4) + ' after step ' + whole(run.best_step) : 'no validation yet'),
      tile('Speed', count(recent(run.tokens_per_second)), 'tokens/s', run.peak_share ? percent(recent(run.peak_share)) + ' of the cores’ peak' : ''),
      tile('Tokens', count(t.tokens), '', count(run.parameters) + ' parameters, ' + count(run.active_parameters) + ' active'),
      tile('Cost so far', isNumber(t.dollars) ? '$' + significant(t.dollars, 2) : duration(t.seconds), '',
          isNumber(t.core_hours) ? brief(t.core_hours) + ' core hours, ' + brief(t.watt_hours) + ' Wh (' + t.assumptions + ')' : ''));
  document.title = (run.state === 'running' ? percent(run.step / run.steps) + ' · ' : '') + run.name;
}
function tellAge() {
  if (!single) return;
  const run = runs[0], age = Math.max(0, Date.now() / 1000 - run.updated);
  const silent = run.state === 'running' && age > Math.max(60, 6 * run.refresh_seconds);
  news.textContent = silent ? 'no news for ' + duration(age) + ': a step takes long, or the run was ended without a word'
      : (run.state === 'running' ? 'updated ' + duration(age) + ' ago' : new Date(run.updated * 1000).toLocaleString());
  news.classList.toggle('warning', silent);
}
function updateNotices() {
  notices.replaceChildren(...runs.filter(r => r.damaged.count > 0).map(r => h('p', {class: 'warning'},
      (single ? '' : r.name + ': ') + r.damaged.count + ' damaged ' + (r.damaged.count === 1 ? 'line' : 'lines') +
      ' of log.jsonl left out: line ' + r.damaged.lines.join(', ') + (r.damaged.count > r.damaged.lines.length ? ', …' : ''))));
}
function compareTable() {
  const row = (r, i) => h('tr', {}, h('th', {scope: 'row'}, h('i', {class: 'dot', style: 'background:' + runColor(i)}), r.name),
      h('td', {}, r.state), h('td', {}, whole(r.step) + ' of ' + whole(r.steps)), h('td', {}, significant(recent(r.loss), 4)),
      h('td', {}, significant(r.last_bits, 4)), h('td', {}, significant(r.best_bits, 4)), h('td', {}, count(r.totals.tokens)),
      h('td', {}, count(recent(r.tokens_per_second))), h('td', {}, isNumber(r.totals.dollars) ? '$' + significant(r.totals.dollars, 2) : '–'));
  const heads = ['run', 'state', 'step', 'loss', 'bits per byte', 'best', 'tokens', 'tokens/s', 'cost'];
  return h('div', {class: 'scroll'}, h('table', {class: 'compare'}, h('thead', {}, h('tr', {}, heads.map(t => h('th', {scope: 'col'}, t)))),
      h('tbody', {}, runs.map(row))));
}

// ---- samples

const sampleSlider = h('input', {type: 'range', min: 0, step: 1, 'aria-label': 'sample',
  oninput: e => { const list = sampleSteps(); choose('sample', +e.target.value === list.length - 1 ? null : list[+e.target.value]); }});
const sampleStep = h('output', {}), sampleTexts = h('div', {class: 'texts'});
const sampleSteps = () => [...new Set(runs.flatMap(r => r.samples.map(x => x.step)))].sort((a, b) => a - b);
function updateSamples() {
  const list = sampleSteps();
  if (list.length === 0) return;
  const step = chosen.sample === null ? list[list.length - 1] : list[nearest(list, chosen.sample)];
  sampleSlider.max = list.length - 1;
  sampleSlider.value = list.indexOf(step);
  sampleSlider.disabled = list.length < 2;
  sampleSlider.setAttribute('aria-valuetext', 'after step ' + step);
  sampleStep.textContent = 'after step ' + whole(step);
  sampleTexts.replaceChildren(...runs.map((run, r) => {
    const before = run.samples.filter(x => x.step <= step), sample = before[before.length - 1];
    if (!sample) return null;
    const prompted = run.prompt && sample.text.startsWith(run.prompt), at = prompted ? run.prompt.length : 0;
    return h('figure', {}, single ? null : h('figcaption', {}, h('i', {class: 'dot', style: 'background:' + runColor(r)}), run.name + ', step ' + whole(sample.step)),
        h('blockquote', {}, h('span', {class: 'prompt'}, sample.text.slice(0, at)), sample.text.slice(at) + (sample.cut ? ' …' : '')));
  }).filter(x => x !== null));
}

// ---- recipe and machine

const recipeTable = h('table', {class: 'recipe'}), recipeNote = h('p', {class: 'note'});
const recipeAll = h('input', {type: 'checkbox', onchange: e => choose('all', e.target.checked)});
function updateRecipe() {
  const keys = runs[0].recipe.rows.map(r => r.key);
  const row = (r, key) => runs[r].recipe.rows.find(x => x.key === key) || {};
  const differs = key => single ? row(0, key).base !== undefined : runs.some((_, r) => row(r, key).value !== row(0, key).value);
  const changed = keys.filter(differs), shown = chosen.all ? keys : changed;
  recipeAll.checked = chosen.all;
  const base = runs[0].recipe.base;
  recipeNote.textContent = single
      ? (changed.length || 'No') + (changed.length === 1 ? ' key differs' : ' keys differ') + ' from the ' + base + '. '
      : (changed.length || 'No') + (changed.length === 1 ? ' key differs' : ' keys differ') + ' between the runs. ';
  const heads = single ? ['key', 'this run', base, 'meaning'] : ['key', ...runs.map(r => r.name)];
  recipeTable.replaceChildren(
      h('thead', {}, h('tr', {}, heads.map(t => h('th', {scope: 'col'}, t)))),
      h('tbody', {}, shown.map(key => h('tr', {class: differs(key) ? 'changed' : null}, h('th', {scope: 'row'}, key),
          single ? [h('td', {}, row(0, key).value), h('td', {}, row(0, key).base === undefined ? 'same' : row(0, key).base),
            h('td', {class: 'help'}, row(0, key).help)]
              : runs.map((_, r) => h('td', {}, row(r, key).value === undefined ? '–' : row(r, key).value))))));
  recipeTable.hidden = shown.length === 0;
}
const machines = h('div', {class: 'machines'});
function updateMachines() {
  machines.replaceChildren(...runs.map((run, r) => {
    const m = run.machine || {};
    const rows = [
      ['processor', m.cpu && m.cpu + ', ' + m.cores + (m.cores === 1 ? ' core' : ' cores')], ['memory', isNumber(m.memory_bytes) && (m.memory_bytes / 2 ** 30).toFixed(1) + ' GiB'],
      ['threads', m.threads], ['instruction set', m.level],
      ['measured f32 peak', isNumber(m.peak_flops) && (m.peak_flops * 1e-9).toFixed(0) + ' GFLOP/s, all threads'],
      ['arithmetic so far', isNumber(run.totals.flop) && count(run.totals.flop) + 'FLOP'], ['time in steps', duration(run.totals.seconds)],
      ['frugal', m.version], ['compiler', m.compiler]];
    return h('div', {}, single ? null : h('h3', {}, h('i', {class: 'dot', style: 'background:' + runColor(r)}), run.name),
        h('dl', {}, rows.map(([k, v]) => [h('dt', {}, k), h('dd', {}, v === undefined || v === false ? 'not recorded' : String(v))])));
  }));
}

// ---- the page

const unit = choice('unit of the loss', [['nats', 'nats per token'], ['bits', 'bits per byte']], 'unit');
const scale = choice('scale', [[false, 'linear'], [true, 'logarithmic']], 'log');
const from = choice('steps shown', [[0, 'all steps'], [0.5, 'last half'], [0.9, 'last tenth']], 'from');
const which = h('select', {onchange: e => choose('run', +e.target.value)}, runs.map((r, i) => h('option', {value: i}, r.name)));
const bitsNote = h('p', {class: 'note'}, 'Training loss in bits per byte is reckoned with the validation text’s tokens per byte.');
const ofRun = single ? null : h('p', {}, h('label', {}, 'Run ', which));
const sections = {
  loss: section('loss', 'Loss', null, h('div', {class: 'controls'}, unit.element, scale.element, from.element), charts.loss.element, bitsNote),
  optimizer: section('optimizer', 'Optimizer', null, h('div', {class: 'pair'}, charts.lr.element, charts.norm.element)),
  speed: section('speed', 'Speed', null, h('div', {class: 'pair'}, charts.speed.element, charts.peak.element)),
  mtp: section('mtp', 'Multi-token prediction', null, charts.acceptance.element),
  layers: section('layers', 'Layers and experts', null, ofRun, gradientMap.element, gradientKey,
      h('div', {class: 'expert-part'}, h('p', {class: 'note'}, 'Tokens that chose each expert, by the mean of its layer, and the bias that steers them: a row is an expert.'), expertKey, expertGrid)),
  samples: section('samples', 'Samples', null, h('div', {class: 'slider'}, sampleSlider, sampleStep), sampleTexts),
  recipe: section('recipe', 'Recipe', null, recipeNote, h('p', {}, h('label', {}, recipeAll, ' all keys')), h('div', {class: 'scroll'}, recipeTable)),
  machine: section('machine', 'Machine and build', null, machines)
};
const titles = {loss: 'Loss', optimizer: 'Optimizer', speed: 'Speed', mtp: 'MTP', layers: 'Layers and experts', samples: 'Samples', recipe: 'Recipe', machine: 'Machine'};
const links = Object.keys(sections).map(id => [id, h('a', {href: '#' + id}, titles[id])]);
const comparison = h('div', {});
document.getElementById('page').append(
    h('header', {}, h('p', {class: 'kind'}, single ? 'frugal training run' : 'frugal, comparison of ' + runs.length + ' runs'),
        h('h1', {}, runs.map(r => r.name).join(', ')),
        single ? [h('p', {class: 'status'}, state, ' ', news), progress, tiles] : comparison, notices,
        h('nav', {'aria-label': 'parts of this page'}, links.map(l => l[1]))),
    ...Object.values(sections));

function update() {
  const range = stepRange(), run = runs[single ? 0 : chosen.run];
  for (const c of [unit, scale, from]) c.update();
  which.value = chosen.run;
  if (single) updateHead(run);
  else comparison.replaceChildren(compareTable());
  tellAge();
  updateNotices();
  const bits = runs.some(r => r.val_bits);
  if (!bits) chosen.unit = 'nats';
  unit.element.hidden = !bits;
  bitsNote.hidden = chosen.unit !== 'bits';
  charts.loss.setUnit(chosen.unit === 'bits' ? 'bits per byte' : 'nats per token');
  charts.loss.update(lossCurves(), range, chosen.log);
  charts.lr.update(curvesOf('lr', 'step_axis', only('learning rate'), {color: 'var(--train)'}), range, chosen.log);
  charts.norm.update(curvesOf('grad_norm', 'step_axis', only('global norm'), {color: 'var(--train)', smoothed: true}), range, chosen.log);
  charts.speed.update(curvesOf('tokens_per_second', 'step_axis', only('tokens/s'), {color: 'var(--train)', smoothed: true}), range, false);
  charts.peak.update(curvesOf('peak_share', 'step_axis', only('share of peak'), {color: 'var(--train)', smoothed: true}), range, false);
  charts.acceptance.update(curvesOf('acceptance', 'val_axis', only('accepted'), {color: 'var(--mtp)', dots: true}), range, false);
  gradientMap.element.hidden = gradientKey.hidden = !run.grad_norms;
  if (run.grad_norms) gradientMap.update(gradientData(run), range);
  const experts = sections.layers.querySelector('.expert-part');
  experts.hidden = !run.experts;
  if (run.experts) updateExperts(run);
  updateSamples();
  updateRecipe();
  updateMachines();
  sections.mtp.hidden = !runs.some(r => r.acceptance);
  sections.layers.hidden = !run.grad_norms && !run.experts && single;
  sections.samples.hidden = sampleSteps().length === 0;
  for (const [id, link] of links) link.hidden = sections[id].hidden;
  remember();
}
document.querySelectorAll('details').forEach((d, i) => { d.open = Boolean(chosen.open[i]); });
update();
document.addEventListener('toggle', remember, true);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', update);
setInterval(tellAge, 1000);

// ---- news of a run that goes on: report-data.js lies beside the page and calls frugalReport

let source = null;
function ask() {
  if (source) source.remove();
  source = h('script', {src: 'report-data.js?' + Date.now()});
  document.head.append(source);
}
window.frugalReport = data => {
  if (data.runs[0].updated <= runs[0].updated && data.runs[0].state === runs[0].state) return;
  runs = data.runs;
  update();
};
if (single && runs[0].state === 'running') {
  ask();
  const timer = setInterval(() => {
    if (runs[0].state === 'running') ask();
    else clearInterval(timer);
  }, 1000 * Math.max(2, runs[0].refresh_seconds / 2));
}
