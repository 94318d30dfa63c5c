// The token strip: tokens, words or sentences, as text or as a grid of pixels, coloured by a number.
(() => {
  const T = window.tokenarium;
  if (T.strip) return;
  const V = T.values;
  const UNITS = {token: 'Token', word: 'Word', sentence: 'Sentence'};
  const DENSITIES = {comfortable: 'Comfortable', compact: 'Compact', pixel: 'Pixel'};
  const CHUNK = 1024;

  const usualDensity = count => count <= 2000 ? 'comfortable' : count <= 8000 ? 'compact' : 'pixel';
  const clipped = (text, most) => text.length > most ? `${text.slice(0, most)}…` : text;

  // A group of buttons of which one is chosen, as the keyboard expects of radio buttons.
  const radios = (host, name, choose) => {
    host.addEventListener('click', event => {
      const button = event.target.closest('button');
      if (button) choose(button.dataset[name]);
    });
    host.addEventListener('keydown', event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...host.querySelectorAll('button')].filter(button => button.offsetParent), now = all.indexOf(document.activeElement);
      const next = all[(now + step + all.length) % all.length];
      next.focus();
      choose(next.dataset[name]);
    });
    return {
      fill: entries => {
        host.textContent = '';
        const groups = new Map();
        for (const [key, title, hint, group, more] of entries) {
          const button = Object.assign(document.createElement('button'), {type: 'button', textContent: title, title: hint || '', className: more ? 'tk-folded' : ''});
          button.setAttribute('role', 'radio');
          button.dataset[name] = key;
          if (group && !groups.has(group)) {
            const box = Object.assign(document.createElement('span'), {className: 'tk-group'});
            box.appendChild(Object.assign(document.createElement('span'), {textContent: group, className: 'tk-group-name'}));
            groups.set(group, host.appendChild(box));
          }
          (groups.get(group) ?? host).appendChild(button);
        }
      },
      check: chosen => host.querySelectorAll('button').forEach(button => {
        const on = button.dataset[name] === chosen;
        button.setAttribute('aria-checked', String(on));
        button.tabIndex = on ? 0 : -1;
      }),
    };
  };

  T.strip = (element, props, watch) => {
    const part = name => element.querySelector(`.tk-${name}`);
    const host = part('strip'), legend = part('legend'), readout = part('readout');
    const [unitHost, densityHost] = element.querySelectorAll('.tk-choice');
    const prefer = key => chosen => T.select({[key]: chosen}, 'replaceState');
    const metricRadios = radios(part('metrics'), 'metric', prefer('metric'));
    const unitRadios = radios(unitHost, 'unit', prefer('unit')), densityRadios = radios(densityHost, 'density', prefer('density'));
    unitRadios.fill(Object.entries(UNITS));
    densityRadios.fill(Object.entries(DENSITIES));
    const more = part('more');
    more.addEventListener('click', () => {
      const open = part('metrics').classList.toggle('tk-all');
      more.setAttribute('aria-expanded', String(open));
      more.textContent = open ? 'Fewer' : 'More';
    });
    const pixels = T.pixels(host);
    let metrics = {}, run = null, usual = null, texts = [], special = new Set(), context = null, kinds = {};
    let chosen = null, unit = 'token', density = null, units = V.whole(0), numbers = new Float32Array(), spans = [];
    let marked = {}, hovered = null, asked = '';

    const unitOf = token => Number.isInteger(token) && token >= 0 && token < texts.length ? units.of[token] : -1;
    const extent = token => { const u = unitOf(token); return u < 0 ? null : [units.first[u], units.first[u + 1]]; };
    const few = token => Number.isInteger(metrics[chosen]?.few) && token >= metrics[chosen].few;

    // Numbers of a head that is no longer the chosen one are never said to be its: Python, which hears
    // of every choice, is about to send the right ones.
    const fresh = metric => metric.numbers && (!metric.of || run !== (T.state.run ?? null)
      || metric.of[0] === T.state.layer && metric.of[1] === T.state.head);
    // In a long text Python keeps the numbers until they are wanted. The selection may still be of the
    // run before, which must not be asked for again.
    const ask = () => {
      const question = [chosen, run, T.state.layer, T.state.head].join();
      if (run !== (T.state.run ?? null) || asked === question) return;
      asked = question;
      T.tell();
    };
    const recolour = name => {
      if (!metrics[name]) name = usual;
      const metric = metrics[name];
      if (!metric) return;
      chosen = name;
      metricRadios.check(name);
      part('meaning').textContent = metric.meaning;
      part('meaning').title = legend.title = metric.formula;
      if (!fresh(metric)) {
        element.setAttribute('aria-busy', 'true');
        readout.textContent = '';
        if (!metric.numbers) ask();
        return;
      }
      element.removeAttribute('aria-busy');
      numbers = V.gather(metric.numbers, units, metric.total);
      // What few queries saw sets no scale, unless the whole text is as short as that.
      const firm = metric.few > 0 ? numbers.filter((_, u) => !few(units.first[u])) : numbers;
      const range = V.range(firm, metric.scale), levels = V.levels(numbers, metric.scale, range);
      if (density === 'pixel') pixels.show({levels: Int8Array.from(units.of, u => levels[u]), few: metric.few, edge: context});
      spans.forEach((span, u) => {
        span.className = `tk-token tk-${levels[u] < 0 ? 'none' : `l${levels[u]}`}${few(units.first[u]) ? ' tk-few' : ''}`;
      });
      part('low').textContent = V.shown(range.low);
      part('high').textContent = `${range.clipped ? '≥ ' : ''}${V.shown(range.high)} ${metric.unit}`.trim();
      part('key-few').hidden = metric.few === null;
      part('key-edge').hidden = context === null;
      mark();
      describe(hovered ?? T.state.token);
    };

    const mark = () => {
      const wanted = {selected: T.state.token, query: T.state.query, hover: hovered};
      if (density === 'pixel') {
        pixels.mark(Object.fromEntries(Object.entries(wanted).map(([name, token]) => [name, extent(token)])));
        host.setAttribute('aria-valuenow', T.state.token ?? 0);
        return;
      }
      for (const [name, span] of Object.entries(marked))
        if (name === 'selected') span.setAttribute('aria-selected', 'false'); else span.classList.remove(`tk-${name}`);
      marked = {};
      for (const [name, token] of Object.entries(wanted)) {
        const span = spans[unitOf(token)];
        if (!span) continue;
        marked[name] = span;
        if (name === 'selected') { span.setAttribute('aria-selected', 'true'); host.setAttribute('aria-activedescendant', span.id); }
        else span.classList.add(`tk-${name}`);
      }
    };
    // Chunks get their true height a frame after they are seen, which moves the token again.
    const reveal = (steps = 4) => {
      const span = spans[unitOf(T.state.token)];
      if (!span) return;
      const inside = host.getBoundingClientRect(), box = span.getBoundingClientRect();
      if (box.top < inside.top || box.bottom > inside.bottom) host.scrollTop += box.top - inside.top - inside.height / 2;
      if (steps && span.closest('.tk-chunk')) requestAnimationFrame(() => reveal(steps - 1));
    };
    const text = (from, to, most) => clipped(texts.slice(from, to).join('').replace(/\n/g, ''), most);
    const opens = (metric, value, from, to) => Number.isFinite(value) && metric.why ? [metric.why, from, to, ...metric.of ?? []].join(' ') : undefined;
    const describe = token => {
      const place = extent(token), metric = metrics[chosen];
      if (!place || !metric || !fresh(metric)) { readout.textContent = ''; return; }
      const [from, to] = place, several = to - from > 1;
      const which = several ? `tokens ${from} to ${to - 1}` : `token ${from}`, name = unit === 'token' ? which : `${unit} of ${which}`;
      const how = several ? ` (${metric.total ? 'sum' : 'mean'} of its tokens)` : '';
      const said = [
        density === 'pixel' ? name : `${name} “${text(from, to, 80)}”`,
        [[`${metric.title} `], [V.shown(numbers[unitOf(token)]), opens(metric, numbers[unitOf(token)], from, to)], [` ${metric.unit}`.trimEnd() + how]],
        few(from) ? `fewer than ${texts.length - metric.few} later tokens to look at it` : '',
        context !== null && to > context ? `never trained: beyond ${context} tokens` : '',
        density === 'pixel' ? `… ${text(Math.max(0, from - 8), from, 60)}▸${text(from, to, 60)}◂${text(to, to + 8, 60)} …` : '',
      ];
      const parts = said.filter(Boolean).flatMap((part, at) => [...at ? [[' · ']] : [], ...typeof part === 'string' ? [[part]] : part]);
      readout.replaceChildren(...T.sentence(parts, Boolean(run), metric.whose));
      if (density === 'pixel') host.setAttribute('aria-valuetext', readout.textContent);
    };
    const hover = token => {
      if (token === hovered) return;
      hovered = token;
      mark();
      describe(hovered ?? T.state.token);
    };

    const spanOf = u => {
      const span = document.createElement('span'), from = units.first[u], to = units.first[u + 1];
      span.id = `tk-token-${from}`;
      span.dataset.index = from;
      span.setAttribute('role', 'option');
      span.setAttribute('aria-selected', 'false');
      span.textContent = texts.slice(from, to).join('');
      if (special.has(from)) span.dataset.special = '';
      if (context !== null && from <= context && context < to) span.dataset.edge = '';
      return span;
    };
    // Chunks out of sight cost the browser nothing, so that a long text as spans stays usable. A chunk
    // begins a line: where a sentence does, unless that is far away.
    const chunked = all => {
      if (all.length <= 2 * CHUNK) return all;
      const sentence = kinds.sentence, found = [];
      for (const [index, span] of all.entries()) {
        const token = units.first[index], size = found.at(-1)?.length ?? 2 * CHUNK;
        if (size >= 2 * CHUNK || size >= CHUNK && sentence.first[sentence.of[token]] === token) found.push([]);
        found.at(-1).push(span);
      }
      return found.map(part => {
        const chunk = document.createElement('div');
        chunk.className = 'tk-chunk';
        chunk.setAttribute('role', 'presentation');
        chunk.append(...part);
        return chunk;
      });
    };
    const build = () => {
      unit = T.state.unit in UNITS ? T.state.unit : 'token';
      density = T.state.density in DENSITIES ? T.state.density : usualDensity(texts.length);
      units = kinds[unit];
      unitRadios.check(unit);
      densityRadios.check(density);
      host.dataset.density = density;
      marked = {};
      spans = [];
      const asGrid = density === 'pixel';
      host.setAttribute('role', asGrid ? 'slider' : 'listbox');
      host.removeAttribute('aria-activedescendant');
      for (const [name, value] of [['aria-valuemin', 0], ['aria-valuemax', texts.length - 1], ['aria-valuenow', 0], ['aria-valuetext', '']])
        if (asGrid) host.setAttribute(name, value); else host.removeAttribute(name);
      if (asGrid) { host.replaceChildren(pixels.box); return; }
      spans = Array.from({length: units.count}, (_, u) => spanOf(u));
      host.replaceChildren(...chunked(spans));
    };
    const accept = found => {
      for (const [name, metric] of Object.entries(found)) metrics[name] = {...metric, numbers: metric.values === undefined ? null : V.numbers(metric)};
    };
    const offer = () => metricRadios.fill(Object.entries(metrics).map(([name, metric]) => [name, metric.button, `${metric.title}: ${metric.meaning}\n${metric.formula}`, metric.group, metric.more]));
    const draw = () => {
      const value = props.value || {};
      if (value.patch) {
        const added = Object.keys(value.patch).some(name => !metrics[name]);
        accept(value.patch);
        if (added) offer();
        recolour(T.state.metric || usual);
        return;
      }
      if (!value.texts) return;
      metrics = {};
      asked = '';
      accept(value.metrics);
      ({run, usual, context} = value);
      texts = V.texts(value.texts);
      special = new Set(value.special);
      kinds = {token: value.characters ? V.units(value.characters, texts.length) : V.whole(texts.length), word: V.units(value.words, texts.length), sentence: V.units(value.sentences, texts.length)};
      offer();
      build();
      recolour(T.state.metric || T.fromAddress().metric || usual);
    };

    const at = event => {
      if (density === 'pixel') { const token = pixels.at(event); return token === null ? null : extent(token)[0]; }
      const span = event.target.closest('.tk-token');
      return span && Number(span.dataset.index);
    };
    host.addEventListener('click', event => { const token = at(event); if (Number.isInteger(token)) T.select({token}); });
    host.addEventListener('mousemove', event => { const token = at(event); if (Number.isInteger(token) && token !== hovered) T.bus.emit('hover', {token, from: 'strip'}); });
    host.addEventListener('mouseleave', () => T.bus.emit('hover', {token: null, from: 'strip'}));
    host.addEventListener('keydown', event => {
      const rows = {ArrowUp: -1, ArrowDown: 1}[event.key];
      if (!rows || density !== 'pixel') return;
      event.preventDefault();
      T.select({token: extent(Math.max(0, Math.min(texts.length - 1, T.state.token + rows * pixels.across())))[0]}, 'replaceState');
    });
    T.step = (token, by) => texts.length ? units.first[Math.max(0, Math.min(units.count - 1, unitOf(token) + by))] : token + by;
    T.bus.on('select', state => {
      if (!texts.length) return;
      const split = state.unit in UNITS ? state.unit : 'token', packed = state.density in DENSITIES ? state.density : usualDensity(texts.length);
      if (split !== unit || packed !== density) { build(); chosen = null; }
      const wanted = state.metric in metrics ? state.metric : usual;
      if (wanted !== chosen || !fresh(metrics[wanted])) recolour(wanted); else { mark(); describe(hovered ?? state.token); }
      reveal();
    });
    T.bus.on('hover', detail => hover(detail.token));
    const again = () => { if (density === 'pixel') pixels.redraw(); };
    new ResizeObserver(again).observe(host);
    new MutationObserver(again).observe(document.body, {attributes: true, attributeFilter: ['class']});
    T.snapshot({element, name: 'tokens', title: () => `Tokens by ${metrics[chosen]?.title ?? chosen}`, root: () => texts.length && density !== 'pixel' ? host : null});
    draw();
    watch('value', draw);
  };
})();
