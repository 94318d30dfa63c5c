// The token strip: every token a span, coloured by the chosen metric, a listbox for the keyboard.
(() => {
  const T = window.tokenarium;
  if (T.strip) return;
  const LEVELS = 16;

  const floats = text => {
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  };
  const levels = metric => {
    const low = metric.low, high = metric.high;
    const scale = metric.scale === 'log' ? value => Math.log1p(Math.max(0, value - low)) / Math.log1p(high - low)
      : value => (value - low) / (high - low);
    return Array.from(metric.values, value => {
      if (!Number.isFinite(value)) return -1;
      if (!(high > low)) return 0;
      return Math.max(0, Math.min(LEVELS - 1, Math.floor(scale(value) * LEVELS)));
    });
  };
  const number = value => !Number.isFinite(value) ? '–' : Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toPrecision(2);

  T.strip = (element, props, watch) => {
    const host = element.querySelector('.tk-strip'), picker = element.querySelector('.tk-metrics');
    const legend = element.querySelector('.tk-legend'), readout = element.querySelector('.tk-readout');
    let metrics = {}, usual = null, spans = [], chosen = null, hovered = null, colours = [];

    const recolour = name => {
      if (!metrics[name]) name = Object.keys(metrics)[0];
      if (!name) return;
      chosen = name;
      const metric = metrics[name];
      colours = levels(metric);
      spans.forEach((span, index) => {
        const level = colours[index];
        span.className = level < 0 ? 'tk-token tk-none' : `tk-token tk-l${level}`;
      });
      mark();
      picker.querySelectorAll('button').forEach(button => button.setAttribute('aria-checked', String(button.dataset.metric === name)));
      legend.querySelector('.tk-low').textContent = number(metric.low);
      legend.querySelector('.tk-high').textContent = `${number(metric.high)} ${metric.unit}`.trim();
      legend.querySelector('.tk-meaning').textContent = metric.meaning;
      legend.title = metric.formula;
    };
    const mark = () => {
      host.querySelectorAll('[aria-selected=true]').forEach(span => span.setAttribute('aria-selected', 'false'));
      host.querySelector('.tk-query')?.classList.remove('tk-query');
      const span = spans[T.state.token];
      if (span) {
        span.setAttribute('aria-selected', 'true');
        host.setAttribute('aria-activedescendant', span.id);
      }
      if (Number.isInteger(T.state.query)) spans[T.state.query]?.classList.add('tk-query');
    };
    const reveal = () => {
      const span = spans[T.state.token];
      if (!span) return;
      const top = span.offsetTop - host.offsetTop;
      if (top < host.scrollTop || top + span.offsetHeight > host.scrollTop + host.clientHeight)
        host.scrollTop = top - host.clientHeight / 2;
    };
    const describe = index => {
      const span = spans[index], metric = metrics[chosen];
      if (!span || !metric) { readout.textContent = ''; return; }
      readout.textContent = `token ${index} “${span.textContent.replace(/\n/g, '')}” · ${metric.title} ${number(metric.values[index])} ${metric.unit}`.trim();
    };
    const hover = index => {
      spans[hovered]?.classList.remove('tk-hover');
      hovered = index;
      spans[hovered]?.classList.add('tk-hover');
      describe(index ?? T.state.token);
    };
    const accept = found => {
      for (const [name, metric] of Object.entries(found)) metrics[name] = {...metric, values: floats(metric.values)};
    };
    const buttons = () => {
      picker.textContent = '';
      for (const [name, metric] of Object.entries(metrics)) {
        const button = document.createElement('button');
        button.type = 'button';
        button.setAttribute('role', 'radio');
        button.dataset.metric = name;
        button.textContent = metric.title;
        button.title = `${metric.meaning}\n${metric.formula}`;
        picker.appendChild(button);
      }
    };
    const draw = () => {
      const value = props.value || {};
      if (value.patch) { accept(value.patch); recolour(chosen); describe(T.state.token); return; }
      if (!value.tokens) return;
      metrics = {};
      accept(value.metrics);
      host.textContent = '';
      const part = document.createDocumentFragment();
      spans = value.tokens.map((text, index) => {
        const span = document.createElement('span');
        span.id = `tk-token-${index}`;
        span.dataset.index = index;
        span.setAttribute('role', 'option');
        span.setAttribute('aria-selected', 'false');
        span.textContent = text;
        part.appendChild(span);
        return span;
      });
      host.appendChild(part);
      value.special.forEach(index => spans[index]?.setAttribute('data-special', ''));
      host.dataset.density = value.tokens.length > 2000 ? 'compact' : 'comfortable';
      buttons();
      usual = value.metric;
      recolour(T.state.metric || T.fromAddress().metric || usual);
      describe(T.state.token ?? 0);
    };

    const at = event => {
      const span = event.target.closest('.tk-token');
      return span && Number(span.dataset.index);
    };
    host.addEventListener('click', event => { const index = at(event); if (Number.isInteger(index)) T.select({token: index}); });
    host.addEventListener('mouseover', event => { const index = at(event); if (Number.isInteger(index)) T.bus.emit('hover', {token: index, from: 'strip'}); });
    host.addEventListener('mouseleave', () => T.bus.emit('hover', {token: null, from: 'strip'}));
    picker.addEventListener('click', event => {
      const button = event.target.closest('button');
      if (button) T.select({metric: button.dataset.metric}, 'replaceState');
    });
    picker.addEventListener('keydown', event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...picker.querySelectorAll('button')], now = all.indexOf(document.activeElement);
      const next = all[(now + step + all.length) % all.length];
      next.focus();
      T.select({metric: next.dataset.metric}, 'replaceState');
    });
    T.bus.on('select', state => {
      const wanted = state.metric || usual;
      if (wanted !== chosen) recolour(wanted);
      mark(); reveal(); describe(state.token);
    });
    T.bus.on('hover', detail => hover(detail.token));
    draw();
    watch('value', draw);
  };
})();
