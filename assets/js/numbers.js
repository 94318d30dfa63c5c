// The numbers of a figure as tables, made of what the figure itself draws, when they are asked for:
// for screen readers, the keyboard, and whoever wants to read one off or copy them.
(() => {
  const T = window.tokenarium;
  if (T.numbers) return;
  const ROWS = 60, COLUMNS = 40;

  const entities = {'&lt;': '<', '&gt;': '>', '&amp;': '&'};
  const plain = text => String(text ?? '').replace(/<br\s*\/?>/g, ' ').replace(/<\/?[a-z][^>]*>/gi, '').replace(/&(lt|gt|amp);/g, entity => entities[entity]);
  const written = value => typeof value !== 'number' ? plain(value) : Number.isFinite(value) ? String(Number(value.toPrecision(4))) : '–';
  const titled = (layout, axis, other) => plain(layout[axis]?.title?.text ?? layout[axis]?.title ?? '') || other;
  const axisOf = (trace, side) => `${side}axis${(trace[`${side}axis`] ?? side).slice(1)}`;
  // Arrays come as bytes with their type and shape; Plotly reads them so too.
  const TYPES = {i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array};
  const decoded = values => {
    if (!values?.bdata) return values;
    const flat = new TYPES[values.dtype](Uint8Array.from(atob(values.bdata), sign => sign.charCodeAt(0)).buffer);
    const across = Number(String(values.shape ?? '').split(',')[1]);
    return across ? Array.from({length: flat.length / across}, (_, row) => flat.subarray(row * across, (row + 1) * across)) : flat;
  };
  const list = values => Array.isArray(values) || ArrayBuffer.isView(values) ? Array.from(values) : null;

  // A number that can be pressed: its text, and which one of the figure it is.
  const marked = (value, trace, key, ...at) => typeof value === 'number' && Number.isFinite(value) ? {text: written(value), why: `figure ${trace.at} ${key} ${at.join(' ')}`} : written(value);
  // Names of the cells of an axis: centres, or the whole numbers between two edges.
  const places = (values, count, names) => {
    if (names) return names.map(plain);
    const found = list(values);
    if (!found) return Array.from({length: count}, (_, place) => String(place));
    if (found.length === count) return found.map(written);
    return Array.from({length: count}, (_, place) => {
      const from = Math.ceil(found[place]), to = Math.ceil(found[place + 1]) - 1;
      return to > from ? `${from} to ${to}` : String(from);
    });
  };
  const mapTable = (trace, {layout, names}) => {
    const values = Array.from(trace.z, row => Array.from(row)), bar = trace.colorbar ?? layout[trace.coloraxis]?.colorbar ?? {};
    const kinds = new Map((bar.ticktext ?? []).map((text, place) => [bar.tickvals[place], text]));
    const named = trace.coloraxis ? new Map() : kinds;
    const cell = (value, row, column) => {
      const text = list(trace.text?.[row]) ? trace.text[row][column] : undefined, number = marked(value, trace, 'z', row, column);
      if (text !== undefined && text !== null && !kinds.size) return [`${plain(text)} (`, number, ')'];
      return named.get(value) ?? number;
    };
    const down = titled(layout, axisOf(trace, 'y'), 'row'), across = titled(layout, axisOf(trace, 'x'), 'column');
    const axis = layout[axisOf(trace, 'x')], ticks = list(axis?.ticktext);
    return {
      name: [trace.name, plain(bar.title?.text)].filter(Boolean).join(', '),
      head: [`${down} \\ ${across}`, ...ticks && ticks.length === values[0]?.length ? ticks.map((text, place) => `${axis.tickvals[place]} ${plain(text)}`) : places(trace.x, values[0]?.length ?? 0, names?.columns)],
      rows: places(trace.y, values.length, names?.rows).map((name, row) => [name, ...values[row].map((value, column) => cell(value, row, column))]),
    };
  };
  // Points: one row each, beside each other where traces have the same places.
  const words = trace => list(trace.customdata)?.map(part => typeof part === 'string' ? plain(part) : null);
  const pointsTable = (traces, {layout, point}) => {
    const first = traces[0], lying = first.orientation === 'h', [along, up] = lying ? ['y', 'x'] : ['x', 'y'];
    // A place in the text or the run is a name; what else stands along the axis is a number as well.
    const placed = (at, trace, index) => layout.meta?.[along] || Number.isInteger(at) && at < 0 ? written(at) : marked(at, trace, along, index);
    const place = titled(layout, axisOf(first, along), lying ? 'which' : 'x'), value = titled(layout, axisOf(first, up), 'value');
    if (point) return {
      name: '', head: [...point, 'kind', place, value],
      rows: traces.flatMap(trace => list(trace[along]).map((at, index) => [...point.map((_, part) => written(trace.customdata?.[index]?.[part])), plain(trace.name), placed(at, trace, index), marked(list(trace[up])[index], trace, up, index)])),
    };
    const found = new Map(), texts = traces.map(words), said = texts.find(text => text?.some(Boolean));
    traces.forEach((trace, number) => list(trace[along]).forEach((at, index) => {
      const key = String(at);
      if (!found.has(key)) found.set(key, {at, shown: placed(at, trace, index), text: '', cells: Array.from(traces, () => [])});
      const row = found.get(key);
      row.text ||= texts[number]?.[index] ?? '';
      row.cells[number].push(...row.cells[number].length ? ['; '] : [], marked(list(trace[up])[index], trace, up, index));
    }));
    const rows = [...found.values()];
    if (rows.every(({at}) => typeof at === 'number')) rows.sort((one, other) => one.at - other.at);
    return {
      name: '', head: [place, ...said ? ['text'] : [], ...traces.map(trace => plain(trace.name) || value)],
      rows: rows.map(({shown, text, cells}) => [shown, ...said ? [text] : [], ...cells]),
    };
  };
  const tablesOf = (data, layout) => {
    const meta = layout.meta ?? {}, shown = data.map((trace, at) => ({...trace, at})).filter(trace => trace.hoverinfo !== 'skip')
      .map(trace => ({...trace, ...Object.fromEntries(['x', 'y', 'z', 'text', 'customdata'].map(key => [key, decoded(trace[key])]))}));
    const maps = shown.filter(trace => trace.type === 'heatmap'), points = shown.filter(trace => trace.type !== 'heatmap' && list(trace.x)?.length);
    const titles = (layout.annotations ?? []).filter(note => note.yanchor === 'bottom' && note.xref === 'paper').map(note => plain(note.text));
    const tables = maps.map((trace, place) => {
      const table = mapTable(trace, {layout, names: meta.names});
      if (maps.length > 1 && titles.length === maps.length) table.name = [titles[place], table.name].filter(Boolean).join(', ');
      return table;
    });
    if (points.length) tables.push(pointsTable(points, {layout, point: meta.point}));
    return tables;
  };

  const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), {textContent: text ?? '', ...more});
  // A cell is a text, a number of the figure, or several of both.
  const filled = (cell, parts, opens) => {
    cell.append(...[parts].flat().map(part => part?.why ? opens ? T.number(part.text, part.why) : part.text : part));
    return cell;
  };
  const drawn = ({name, head, rows}, label, from, column, opens) => {
    const box = make('div', '', {className: 'tk-table', tabIndex: 0}), table = make('table'), caption = make('caption', [label, name].filter(Boolean).join(' · '));
    box.setAttribute('role', 'region');
    box.setAttribute('aria-label', caption.textContent || 'Numbers of the figure');
    const cells = row => [row[0], ...row.slice(1 + column, 1 + column + COLUMNS)];
    const top = make('tr');
    top.append(...cells(head).map(text => make('th', text, {scope: 'col'})));
    const body = make('tbody');
    body.append(...rows.slice(from, from + ROWS).map(row => {
      const line = make('tr');
      line.append(...cells(row).map((parts, place) => filled(place ? make('td') : make('th', '', {scope: 'row'}), parts, opens)));
      return line;
    }));
    const part = make('thead');
    part.append(top);
    table.append(caption, part, body);
    box.append(table);
    return box;
  };
  // A large table is turned over in parts, so that it costs the page little.
  const turned = (table, label, opens) => {
    const box = make('div');
    let from = 0, column = 0;
    const show = () => {
      const parts = [drawn(table, label, from, column, opens)], bar = make('p', '', {className: 'tk-sub tk-turn'});
      const turn = (what, at, size, most, go) => {
        if (most <= size) return;
        for (const [sign, by] of [['◂', -size], ['▸', size]]) {
          const button = make('button', sign, {type: 'button', disabled: at + by < 0 || at + by >= most, onclick: () => { go(at + by); show(); }});
          button.setAttribute('aria-label', `${by < 0 ? 'Previous' : 'Next'} ${what}`);
          bar.append(button);
        }
        bar.append(make('span', `${what} ${at + 1} to ${Math.min(most, at + size)} of ${most} `));
      };
      turn('rows', from, ROWS, table.rows.length, to => { from = to; });
      turn('columns', column, COLUMNS, table.head.length - 1, to => { column = to; });
      if (bar.childNodes.length) parts.push(bar);
      box.replaceChildren(...parts);
    };
    show();
    return box;
  };

  // ``figure`` gives {data, layout} of what is drawn now, or null.
  T.numbers = (details, figure) => {
    const host = details.querySelector('.tk-numbers-tables');
    const fill = () => {
      const found = details.open && figure();
      if (!found) { host.replaceChildren(); return; }
      const tables = tablesOf(found.data, found.layout), {label = ''} = found.layout.meta ?? {}, opens = Boolean(T.explain && details.closest('.tk-figure')?.asks?.());
      // Two tables of one name are told apart by a number, as regions of a page must be.
      const names = tables.map(({name}) => name ?? ''), count = at => names.slice(0, at).filter(name => name === names[at]).length;
      host.replaceChildren(...tables.map((table, at) => turned(count(at) ? {...table, name: `${names[at]} (${count(at) + 1})`.trim()} : table, `${label}.`, opens)));
    };
    details.addEventListener('toggle', fill);
    return fill;
  };
  T.numbers.tablesOf = tablesOf;
  // A sentence of texts and of numbers, each with where it came from; a file has no server to ask.
  T.sentence = (parts, opens = true, run = undefined) => parts.map(([text, why]) => why && opens && T.explain ? T.number(text, why, run) : document.createTextNode(text));
  T.numbers.parts = {plain, axisOf, decoded, list, titled, written};

  // What scrolls can be reached by the keyboard, and is named; in a window of another size too.
  const named = new WeakMap(), sized = new ResizeObserver(entries => entries.forEach(({target}) => T.scrolls(target, named.get(target))));
  // On which sides something is out of sight: a shadow and words say so.
  const ends = element => {
    const left = element.scrollLeft, sides = [left > 1 && 'left', left + element.clientWidth < element.scrollWidth - 1 && 'right'].filter(Boolean).join(' ');
    if (sides) element.dataset.more = sides; else delete element.dataset.more;
  };
  T.scrolls = (element, name) => {
    if (!named.has(element)) { sized.observe(element); element.addEventListener('scroll', () => ends(element), {passive: true}); }
    named.set(element, name);
    ends(element);
    const scrolls = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
    if (scrolls === (element.getAttribute('role') === 'region')) return;
    if (!scrolls) { for (const key of ['role', 'tabindex', 'aria-label']) element.removeAttribute(key); return; }
    element.tabIndex = 0;
    element.setAttribute('role', 'region');
    element.setAttribute('aria-label', name);
  };
})();
