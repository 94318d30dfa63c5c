// The numbers of a figure as a table with one row for every mark: as ui/figures/marks.py, from what
// the figure itself draws.
(() => {
  const T = window.tokenarium;
  if (T.marks) return;
  const {plain, axisOf, decoded, list} = T.numbers.parts;

  const titled = (trace, layout, side) => {
    const {columns = {}, [side]: meaning} = layout.meta ?? {}, of = name => plain(layout[name]?.title?.text ?? '');
    if (columns[side]) return columns[side];
    const others = side === 'x' ? Object.keys(layout).filter(name => name.startsWith('xaxis')) : [];
    return [axisOf(trace, side), ...others].map(of).find(Boolean) || meaning || side;
  };
  // Numbers sent in 32 bits are written with the digits that these have.
  const short = value => { for (let digits = 6; digits < 9; digits++) { const text = value.toPrecision(digits); if (Math.fround(Number(text)) === value) return Number(text); } return value; };
  const plainNumbers = values => values instanceof Float32Array ? Array.from(values, value => Number.isFinite(value) ? short(value) : value) : list(values);
  const places = (given, count, names) => {
    if (names) return names.map(plain);
    const found = plainNumbers(given);
    if (!found) return Array.from({length: count}, (_, place) => place);
    if (found.length === count) return found;
    const ends = found.map(Math.ceil);
    return ends.slice(1).map((end, place) => end - 1 > ends[place] ? `${ends[place]} to ${end - 1}` : String(ends[place]));
  };
  const cells = (trace, layout) => {
    const {names = {}, columns: {z} = {}} = layout.meta ?? {}, bar = trace.colorbar ?? layout[trace.coloraxis]?.colorbar ?? {};
    const value = z || plain(bar.title?.text) || 'value', values = Array.from(trace.z, plainNumbers);
    let across = titled(trace, layout, 'x'), down = titled(trace, layout, 'y');
    if (across === down) [across, down] = [`${across} (column)`, `${down} (row)`];
    const columns = places(trace.x, values[0]?.length ?? 0, names.columns), rows = places(trace.y, values.length, names.rows);
    const texts = !names.rows && [trace.customdata, trace.text].find(found => list(found) && list(found[0]));
    return rows.flatMap((place, row) => columns.map((at, column) => {
      const found = {[down]: place, [across]: at, [value]: values[row][column]}, text = texts && texts[row]?.[column];
      return typeof text === 'string' ? {...found, text: plain(text)} : found;
    }));
  };
  const points = (trace, layout) => {
    const {columns = {}, point} = layout.meta ?? {}, names = columns.custom ?? point ?? [], custom = list(trace.customdata);
    const sides = trace.orientation === 'h' ? ['y', 'x'] : ['x', 'y'], titles = sides.map(side => titled(trace, layout, side));
    const drawn = sides.map(side => plainNumbers(trace[side]) ?? []), axes = sides.map(side => layout[axisOf(trace, side)] ?? {});
    const labels = axes.map(axis => axis.ticktext && new Map(Array.from(list(decoded(axis.tickvals)), (at, place) => [at, plain(axis.ticktext[place])])));
    return drawn[0].map((_, index) => {
      const row = {}, carried = custom?.[index];
      titles.forEach((title, place) => {
        const value = drawn[place][index];
        row[title] = typeof value === 'string' ? plain(value) : value;
        if (labels[place]) row[`${title} name`] = labels[place].get(value) ?? '';
      });
      if (typeof carried === 'string') row.text = plain(carried);
      else [list(carried) ?? [carried]].flat().forEach((part, place) => { if (names[place]) row[names[place]] = part ?? null; });
      return row;
    });
  };
  T.marks = ({data, layout}) => {
    const shown = data.filter(trace => trace.hoverinfo !== 'skip')
      .map(trace => ({...trace, ...Object.fromEntries(['x', 'y', 'z', 'text', 'customdata'].map(key => [key, decoded(trace[key])]))}));
    const maps = shown.filter(trace => trace.type === 'heatmap');
    const titles = (layout.annotations ?? []).filter(note => note.yanchor === 'bottom' && note.xref === 'paper').map(note => plain(note.text));
    return shown.flatMap(trace => {
      const map = trace.type === 'heatmap', series = map && maps.length > 1 && titles.length === maps.length ? titles[maps.indexOf(trace)] : plain(trace.name);
      return (map ? cells : points)(trace, layout).map(row => series ? {series, ...row} : row);
    });
  };

  const quoted = text => /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  const written = value => {
    if (value === null || value === undefined || Number.isNaN(value)) return '';
    return quoted(typeof value === 'string' && /^[=+@\-\t\r]/.test(value) ? `'${value}` : String(value));
  };
  // Rows as CSV: columns in the order in which they first come, ``series`` before all others.
  T.csv = rows => {
    const names = new Set(rows.some(row => 'series' in row) ? ['series'] : []);
    for (const row of rows) for (const name of Object.keys(row)) names.add(name);
    return [[...names].map(quoted), ...rows.map(row => [...names].map(name => written(row[name])))].map(row => `${row.join(',')}\n`).join('');
  };
})();
