'use strict';
const run = JSON.parse(document.getElementById('data').textContent).runs[0];
const SVG = 'http://www.w3.org/2000/svg';
const title = document.createElement('h1');
title.textContent = run.name + ': step ' + run.step + ' of ' + run.steps;
const svg = document.createElementNS(SVG, 'svg');
svg.setAttribute('viewBox', '0 0 800 300');
svg.setAttribute('role', 'img');
svg.setAttribute('aria-label', 'Loss from ' + run.first_loss + ' to ' + run.last_loss);
const top_ = Math.max(...run.loss.mean), low = Math.min(...run.loss.mean);
const points = run.loss.mean.map((v, i) =>
  [800 * run.step_axis[i] / run.steps, 290 - 280 * (v - low) / (top_ - low)].map(x => x.toFixed(1)).join(','));
const line = document.createElementNS(SVG, 'polyline');
line.setAttribute('points', points.join(' '));
line.setAttribute('fill', 'none');
line.setAttribute('stroke', 'currentColor');
svg.append(line);
document.getElementById('page').append(title, svg);
