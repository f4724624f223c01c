// Values under the pointer, or with the arrow keys. Without scripts everything else is there.
'use strict';
for (const plot of document.querySelectorAll('.plot')) {
  const data = JSON.parse(plot.dataset.chart);
  const svg = plot.querySelector('svg');
  const steps = [...new Set(data.lines.flatMap((line) => line.map((point) => point[0])))].sort((a, b) => a - b);
  if (!steps.length) continue;
  const cursor = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  cursor.setAttribute('class', 'cursor');
  svg.append(cursor);
  const readout = document.createElement('output');
  readout.className = 'readout';
  readout.setAttribute('aria-live', 'polite');
  plot.append(readout);
  svg.setAttribute('tabindex', '0');
  let at = -1;

  function nearest(points, step) {
    let low = 0;
    let high = points.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < step) low = middle + 1;
      else high = middle;
    }
    return low > 0 && step - points[low - 1][0] < points[low][0] - step ? low - 1 : low;
  }

  function height(value) {
    const share = data.log
      ? Math.log(value / data.low) / Math.log(data.high / data.low)
      : (value - data.low) / (data.high - data.low);
    return data.bottom - share * (data.bottom - data.top);
  }

  function show(index) {
    at = Math.max(0, Math.min(steps.length - 1, index));
    const x = data.left + (steps[at] / data.last) * (data.right - data.left);
    let path = `M${x} ${data.top}V${data.bottom}`;
    const texts = [];
    data.lines.forEach((points, number) => {
      if (!points.length) return;
      const [step, value] = points[nearest(points, steps[at])];
      const y = height(value);
      path += `M${x - 4} ${y}h8M${x} ${y - 4}v8`;
      const name = data.lines.length > 1 ? `${data.names[number]} ` : '';
      texts.push(`${name}${value}${step === steps[at] ? '' : ` (at ${step})`}`);
    });
    cursor.setAttribute('d', path);
    readout.textContent = `${steps[at]}: ${texts.join(', ')}`;
  }

  function clear() {
    at = -1;
    cursor.removeAttribute('d');
    readout.textContent = '';
  }

  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const step = ((x - data.left) / (data.right - data.left)) * data.last;
    show(nearest(steps.map((each) => [each]), step));
  });
  svg.addEventListener('pointerleave', clear);
  svg.addEventListener('blur', clear);
  svg.addEventListener('keydown', (event) => {
    const moves = { ArrowLeft: at < 0 ? steps.length - 1 : at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 };
    if (event.key === 'Escape') clear();
    else if (event.key in moves) show(moves[event.key]);
    else return;
    event.preventDefault();
  });
}
