// Runs beside each other: texts stacked place by place, figures, heads and a table, one selection.
(() => {
  const T = window.tokenarium;
  if (T.compare) return;
  const {state} = T, V = T.values;
  const COLOURS = ['#3b82f6', '#d97706', '#10b981', '#dc2626', '#8b5cf6', '#94a3b8'];
  const GAP = 6, STRONGEST = .65, PERCENTILE = .98, MOST = 6;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name ?? '', textContent: text ?? ''});

  const choice = (label, entries, chosen, choose) => {
    const box = make('label', 'tk-compare-choice', label), list = box.appendChild(make('select'));
    for (const [value, text, group] of entries) {
      let into = list;
      if (group) into = [...list.children].find(each => each.label === group) ?? list.appendChild(Object.assign(document.createElement('optgroup'), {label: group}));
      into.appendChild(Object.assign(make('option', '', text), {value}));
    }
    list.value = chosen;
    list.addEventListener('change', () => choose(list.value));
    return box;
  };
  const open = ids => {
    const url = new URL(location.href);
    url.search = '';
    url.searchParams.set('runs', ids.join(','));
    location.assign(url.href.replaceAll('%2C', ','));
  };
  const named = () => (new URL(location.href).searchParams.get('runs') ?? '').split(',').map(id => id.trim()).filter(Boolean);

  // A figure of its own, followed by the selection as on every page.
  const figure = (host, name, title, said) => {
    const element = host.appendChild(make('div', 'tk-block tk-part')), heard = [], props = {value: null};
    element.id = `compare-${name}`;
    element.innerHTML = '<section class="tk-figure"><h2></h2><p class="tk-sub"></p></section>';
    element.querySelector('h2').textContent = title;
    element.querySelector('p').textContent = said;
    T.plot(element, props, (_, listener) => heard.push(listener));
    return value => { element.hidden = !value; props.value = value ?? null; heard.forEach(listener => listener()); };
  };

  // Of every place what each lane has there; between them what has no counterpart, a few at a time.
  const stacks = lanes => {
    const found = [], at = lanes.map(() => 0);
    const until = (lane, stop) => {
      const from = at[lane], {places} = lanes[lane];
      while (at[lane] < places.length && stop(places[at[lane]])) at[lane]++;
      return lanes[lane].texts.slice(from, at[lane]);
    };
    const apart = () => {
      const between = lanes.map((_, lane) => until(lane, place => place < 0));
      const longest = Math.max(...between.map(texts => texts.length));
      for (let from = 0; from < longest; from += GAP) found.push({place: -1, texts: between.map(texts => texts.slice(from, from + GAP).join(''))});
    };
    apart();
    while (lanes.some(({places}, lane) => at[lane] < places.length)) {
      const next = Math.min(...lanes.map(({places}, lane) => places[at[lane]] ?? Infinity));
      found.push({place: next, texts: lanes.map((_, lane) => until(lane, place => place === next).join(''))});
      apart();
    }
    return found;
  };

  T.compare = (element, props, watch, trigger) => {
    const part = name => element.querySelector(`.tk-compare-${name}`);
    const said = part('said'), runs = part('runs'), body = part('body');
    let shown = null, asked = 0, built = null, places = [], painted = null;

    const ask = () => {
      element.setAttribute('aria-busy', 'true');
      props.value = {ids: named(), metric: state.metric ?? null, measure: state.measure ?? null, visitor: T.visitor, number: ++asked};
      trigger('ask');
    };

    const chips = value => {
      runs.replaceChildren();
      const {ids} = value, list = runs.appendChild(make('ul', 'tk-compare-list'));
      list.setAttribute('aria-label', 'Runs that are compared');
      (value.lanes ?? []).forEach((lane, at) => {
        const item = list.appendChild(make('li')), link = make('a', '', lane.name);
        item.appendChild(make('i')).style.background = COLOURS[at % COLOURS.length];
        if (lane.address) Object.assign(link, {href: lane.address, title: 'Open this run on its own page'});
        item.appendChild(link);
        if (![0, at].includes(lane.reference)) item.appendChild(make('small', '', `against ${value.lanes[lane.reference].name}`));
        if (ids.length > 2 && value.lanes.findIndex(other => other.id === lane.id) === at) {
          const off = item.appendChild(Object.assign(make('button', '', '×'), {type: 'button'}));
          off.setAttribute('aria-label', `Leave out ${lane.name}`);
          off.addEventListener('click', () => open(ids.filter(id => id !== lane.id)));
        }
      });
      const groups = value.choices ?? [['', value.offers ?? []]];
      const entries = groups.flatMap(([kind, offers]) => offers.map(([text, id]) => [id, text, groups.length > 1 ? kind : '']));
      if (ids.length < MOST && entries.length) runs.appendChild(choice(ids.length ? 'Compare with' : 'First run', [['', 'choose a stored run…'], ...entries], '', id => id && open([...ids, id])));
    };

    const refuse = value => {
      body.hidden = true;
      said.replaceChildren();
      if (value.refused) said.appendChild(Object.assign(make('p', 'tk-status tk-error', value.refused), {role: 'alert'}));
      if (value.one) {
        const line = said.appendChild(make('p', '', 'Chosen: ')), link = line.appendChild(make('a', '', value.one.name));
        link.href = value.one.address;
        const others = value.choices.some(([, offers]) => offers.length);
        line.append(others ? '. Choose another of its kind to compare it with.' : '. No other run of its kind is stored yet: make one on its page, or ');
        if (!others) line.append(Object.assign(make('a', '', 'choose another first run'), {href: 'compare'}), '.');
      } else said.appendChild(make('p', 'tk-sub', 'Choose stored runs of one kind: two texts, models, policies, budgets or drafters.'));
    };

    const build = () => {
      body.replaceChildren();
      // A part has the name that it has in a frame of another site.
      const named = (element, name) => Object.assign(element, {id: `compare-${name}`});
      const bar = named(body.appendChild(make('div', 'tk-compare-bar tk-part')), 'bar');
      const text = named(body.appendChild(make('div', 'tk-compare-text tk-part')), 'text');
      text.tabIndex = 0;
      text.setAttribute('role', 'group');
      text.setAttribute('aria-label', 'Texts, place by place');
      text.addEventListener('click', event => {
        const stack = event.target.closest('[data-place]');
        if (stack) T.select({[shown.axis]: Number(stack.dataset.place)});
      });
      const readout = named(body.appendChild(make('p', 'tk-readout tk-part')), 'readout');
      readout.setAttribute('aria-live', 'polite');
      const lines = body.appendChild(make('div', 'tk-figures'));
      const heads = body.appendChild(make('div', 'tk-compare-heads'));
      const headBar = heads.appendChild(make('div', 'tk-compare-bar tk-part')), headRead = heads.appendChild(make('p', 'tk-readout tk-part'));
      const grids = heads.appendChild(make('div', 'tk-figures'));
      const table = named(body.appendChild(make('div', 'tk-table-host tk-part')), 'table');
      built = {
        bar, text, readout, heads, headBar, headRead, table,
        places: figure(lines, 'places', 'All runs', 'One scale for all.'),
        differences: figure(lines, 'differences', 'Difference', 'Each run less what it is compared with; 0 is no difference.'),
        head_differences: figure(grids, 'head_differences', 'Heads: difference', 'Later runs less the first. Click one to select it.'),
        head_values: figure(grids, 'head_values', 'Heads: every run', 'One scale of colours for all.'),
      };
    };

    // Difference: violet is more than the reference, orange less, as in the grids of heads. Value: one amber scale for all.
    const paint = () => {
      painted = state.colour ?? null;
      const byValue = painted === 'value', numbers = byValue ? shown.values : shown.differences;
      const sizes = numbers.flat().filter(Number.isFinite).map(Math.abs).filter(size => byValue || size > 0).sort((one, other) => one - other);
      const end = sizes[Math.floor((sizes.length - 1) * PERCENTILE)] || 1;
      for (const {place, cells} of places) cells.forEach((cell, lane) => {
        const value = place < 0 ? null : numbers[lane]?.[place];
        const strength = Number.isFinite(value) ? Math.min(1, Math.abs(value) / end) * STRONGEST : 0;
        cell.style.setProperty('--c', strength.toFixed(3));
        cell.classList.toggle('tk-more-than', !byValue && value > 0);
      });
      const unit = shown.unit ? ` ${shown.unit}` : '';
      const more = sizes.at(-1) > end; // those have the last colour as well
      built.low.textContent = byValue ? '0' : `${more ? '≤ ' : ''}−${V.shown(end)}`;
      built.high.textContent = `${more ? '≥ ' : ''}${byValue ? '' : '+'}${V.shown(end)}${unit}`;
      built.ramp.classList.toggle('tk-diverging', !byValue);
    };

    const bars = () => {
      const choose = key => value => T.select({[key]: value});
      const titled = of => Object.entries(of).map(([name, [title]]) => [name, title]);
      built.bar.replaceChildren(
        choice('Measure', titled(shown.measures), shown.measure, choose('metric')),
        choice('Colour', [['difference', 'by difference'], ['value', 'by value, one scale']], state.colour === 'value' ? 'value' : 'difference', choose('colour')));
      const legend = built.bar.appendChild(make('span', 'tk-legend'));
      built.low = legend.appendChild(make('span'));
      built.ramp = legend.appendChild(make('i', 'tk-ramp'));
      built.high = legend.appendChild(make('span'));
      built.bar.appendChild(make('p', 'tk-sub', shown.measures[shown.measure][1]));
      if (shown.heads) built.headBar.replaceChildren(choice('Heads by', titled(shown.heads.measures), shown.heads.measure, choose('measure')), make('p', 'tk-sub', shown.heads.measures[shown.heads.measure][1]));
    };

    const texts = () => {
      const {lanes} = shown, host = document.createDocumentFragment();
      places = lanes.some(lane => lane.texts.length) ? stacks(lanes).map(({place, texts: own}) => {
        const stack = host.appendChild(make('span', place < 0 ? 'tk-place-stack tk-apart' : 'tk-place-stack'));
        if (place >= 0) stack.dataset.place = place;
        const cells = own.map((text, lane) => {
          const cell = stack.appendChild(make('span', 'tk-place-text', text.replaceAll('\n', '')));
          cell.style.setProperty('--lane', COLOURS[lane % COLOURS.length]);
          if (lanes[lane].reference === lane) cell.classList.add('tk-reference');
          return cell;
        });
        return {place, stack, cells};
      }) : [];
      const left = Math.max(...lanes.map(lane => lane.left_out));
      if (left) host.appendChild(make('p', 'tk-sub', `${left} more tokens of a text are in figures and table, not here.`));
      built.text.hidden = !places.length;
      built.text.replaceChildren(host);
    };

    const number = value => Number.isFinite(value) ? V.shown(value) : '–';
    const mark = () => {
      if (!shown?.lanes) return;
      const at = state[shown.axis];
      for (const {place, stack} of places) if (place >= 0) stack.toggleAttribute('data-selected', place === at);
      const stack = places.find(each => each.place === at)?.stack;
      if (stack) {
        const box = stack.getBoundingClientRect(), inside = built.text.getBoundingClientRect();
        if (box.top < inside.top || box.bottom > inside.bottom) built.text.scrollTop += box.top - inside.top - inside.height / 2;
      }
      const unit = shown.unit ? ` ${shown.unit}` : '';
      // What is chosen, in each run: names, and numbers that open.
      const said = (line, there, place, each) => line.replaceChildren(...there ? T.sentence([[`${place}: `], ...each.flatMap(([name, value, why], at) => [[`${at ? '; ' : ''}${name} `], [number(value), Number.isFinite(value) ? why : undefined]])], true, shown.of) : []);
      said(built.readout, Number.isInteger(at) && at < shown.count, `${shown.axis} ${at}`, shown.lanes.map((lane, row) => [lane.name, shown.values[row][at], `value ${row} ${at}`]));
      if (unit && built.readout.childNodes.length) built.readout.append(unit);
      built.table.querySelectorAll('[data-select]').forEach(button => button.closest('tr').classList.toggle('tk-selected', JSON.parse(button.dataset.select)[shown.axis] === at));
      const {layer, head} = state;
      said(built.headRead, shown.heads && Number.isInteger(layer) && Number.isInteger(head), `layer ${layer}, head ${head}`,
        shown.heads?.names.map((name, run) => [name, shown.heads.values[run][layer]?.[head], `head ${shown.heads.number} ${run} ${layer} ${head}`]) ?? []);
    };

    const draw = value => {
      element.removeAttribute('aria-busy');
      chips(value);
      if (!value.lanes) { refuse(value); T.pressed.arrived(); return; }
      const first = shown === null;
      shown = value;
      body.hidden = false;
      if (first) build();
      said.innerHTML = value.sentence;
      state[value.size] = value.count;
      if (value.heads) Object.assign(state, {layers: value.heads.values[0].length, heads: value.heads.values[0][0].length});
      T.page = {slug: 'compare', arrows: value.axis};
      T.linked = !T.alone;
      state[value.axis] = Math.min(state[value.axis] ?? value.most ?? 0, Math.max(0, value.count - 1));
      if (first) texts();
      bars();
      paint();
      for (const name of ['places', 'differences']) built[name](value.figures[name]);
      built.heads.hidden = !value.heads;
      for (const name of ['head_differences', 'head_values']) built[name](value.heads?.figures[name]);
      built.table.innerHTML = value.table;
      mark();
      T.bus.emit('select', {...state});
      T.pressed.arrived();
    };

    // What the address asks for, as far as it is known; else the first there is.
    const among = (wanted, known) => wanted in known ? wanted : Object.keys(known)[0];
    const follow = () => {
      if (!shown) return;
      const other = shown.heads && among(state.measure, shown.heads.measures) !== shown.heads.measure;
      if (other || among(state.metric, shown.measures) !== shown.measure) { ask(); return; }
      if (!Number.isInteger(state[shown.axis])) state[shown.axis] = shown.most ?? 0; // back at where the page began
      if (painted !== (state.colour ?? null)) { bars(); paint(); }
      mark();
    };
    Object.assign(state, T.fromAddress());
    T.bus.on('select', follow);
    watch('value', () => { if (props.value?.answer && props.value.number === asked) draw(props.value); });
    ask();
  };
})();
