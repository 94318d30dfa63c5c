// A Plotly figure that follows the page: theme, selection and hover lines, clicks, zoom, export.
// The figure says in layout.meta what its axes mean: {x: "token", y: "query", zoom: "region"}; where
// points stand for something else, their customdata does: {point: ["layer", "head"]}.
(() => {
  const T = window.tokenarium;
  if (T.plot) return;
  // Plotly is large: the page is made while it still comes.
  let P = window.Plotly;
  const came = P ? null : new Promise(done => document.querySelector('script[src*="plotly-"]').addEventListener('load', () => { P = window.Plotly; done(); }));
  // One figure at a time, and what was drawn is painted before the next: the first one is seen early.
  let turn = Promise.resolve();
  const painted = () => new Promise(done => document.hidden ? done() : requestAnimationFrame(() => setTimeout(done)));
  const inTurn = work => { turn = turn.then(work, work).then(drew => drew && painted()); };
  // With Gradio's <base href="./">, clip paths and gradients name the whole address and vanish once a
  // click has changed it. Without it every other address still leads to the same place.
  document.querySelector('base[href="./"]')?.remove();

  const css = (element, name, other) => getComputedStyle(element).getPropertyValue(name).trim() || other;
  const themed = (figure, element) => {
    const text = css(element, '--body-text-color', '#333'), grid = css(element, '--border-color-primary', '#ccc');
    const layout = structuredClone(figure.layout);
    layout.template = undefined;
    layout.font = {...layout.font, color: text, family: css(document.body, '--font', 'system-ui')};
    layout.paper_bgcolor = layout.plot_bgcolor = 'rgba(0,0,0,0)';
    for (const key of Object.keys(layout)) if (/^[xy]axis\d*$/.test(key))
      layout[key] = {gridcolor: grid, zerolinecolor: grid, linecolor: grid, ...layout[key]};
    layout.hoverlabel = {bgcolor: css(element, '--block-background-fill', '#fff'), bordercolor: grid, font: {color: text}, ...layout.hoverlabel};
    layout.modebar = {bgcolor: 'rgba(0,0,0,0)', color: text, activecolor: '#d97706'};
    return layout;
  };
  // A map of many cells sends the names of its rows and columns, not of every pair of them.
  const named = ({rows, columns}) => rows.map(row => columns.map(column => `from ${row}<br>to ${column}`));
  // Text in cells and under them is cut to the pixels they have, measured as it will be drawn.
  const plain = {'&lt;': '<', '&gt;': '>', '&amp;': '&'}, marked = Object.fromEntries(Object.entries(plain).map(([entity, sign]) => [sign, entity]));
  const signsOf = globalThis.Intl?.Segmenter ? (segmenter => text => Array.from(segmenter.segment(text), part => part.segment))(new Intl.Segmenter()) : text => [...text];
  const pen = document.createElement('canvas').getContext('2d');
  const cut = (text, room) => {
    const whole = text.replace(/&(lt|gt|amp);/g, entity => plain[entity]), wide = found => pen.measureText(found).width;
    let shown = whole;
    if (wide(whole) > room) {
      const signs = signsOf(whole);
      while (signs.length > 1 && wide(`${signs.join('')}…`) > room) signs.pop();
      shown = `${signs.join('')}…`;
      if (wide(shown) > room) shown = wide(signs[0]) > room ? '' : signs[0];
    }
    return shown.replace(/[<>&]/g, sign => marked[sign]);
  };
  const AXIS_AND_BAR = 160, LEAST_CELL = 44, AROUND = 6, DIGIT = 6.4, LONGEST_LABEL = 90;
  // Of cells with text so many are shown as have room for a word; the others by moving on.
  const seenOf = (host, cells) => Math.max(2, Math.min(cells, Math.floor((host.clientWidth - AXIS_AND_BAR) / LEAST_CELL)));
  const roomIn = (host, meta) => {
    const cells = meta?.cells ? seenOf(host, meta.cells) : meta?.numbers?.across;
    return cells ? Math.floor((host.clientWidth - AXIS_AND_BAR) / cells) - AROUND : 0;
  };
  // Numbers of a large map come as steps of 16 bits, or of 8.
  const unpacked = ({bdata, dtype, shape}, {low, step}) => {
    const bytes = Uint8Array.from(atob(bdata), sign => sign.charCodeAt(0)), places = dtype === 'u1' ? bytes : new Uint16Array(bytes.buffer), across = Number(shape.split(',')[1]);
    const values = Float32Array.from(places, place => place ? low + step * (place - 1) : NaN);
    return Array.from({length: values.length / across}, (_, row) => values.subarray(row * across, (row + 1) * across));
  };
  const worded = ({words, which, across}) => {
    const places = [...atob(which)].map(sign => words[sign.charCodeAt(0)]);
    return Array.from({length: places.length / across}, (_, row) => places.slice(row * across, (row + 1) * across));
  };
  // Numbers stand in the cells of a grid only where they have room.
  const unwritten = (meta, room) => meta?.numbers && meta.numbers.characters * DIGIT > room;
  const filled = ({data, layout: {meta}}, room) => {
    if (unwritten(meta, room)) return data.map(({texttemplate, ...rest}) => rest);
    if (!meta?.names && !meta?.cells && !meta?.steps && !meta?.texts && !meta?.alike) return data;
    const [first, ...others] = data, rest = others.map(trace => trace.customdata === true ? {...trace, customdata: first.customdata} : trace);
    return [{...first, ...meta.steps && {z: unpacked(first.z, meta.steps)}, ...meta.texts && {text: worded(meta.texts)}, ...meta.names && {customdata: named(meta.names)}, ...meta.cells && {text: first.text.map(row => row.map(text => cut(text, room)))}}, ...rest];
  };

  // What is alike around every figure: Save beside its title, the frame, and its numbers below.
  const framed = element => {
    const section = element.querySelector('.tk-figure'), title = section.querySelector('h2');
    const save = Object.assign(document.createElement('button'), {type: 'button', className: 'tk-save', textContent: 'Save'});
    save.setAttribute('aria-label', `Save ${title.textContent}`);
    title.after(save);
    section.insertAdjacentHTML('beforeend', '<figure class="tk-frame" role="group"><div class="tk-plot"></div></figure><details class="tk-numbers"><summary>Numbers<span class="tk-unseen"></span></summary><div class="tk-numbers-tables"></div></details>');
    section.querySelector('.tk-unseen').textContent = ` of ${title.textContent}`;
  };
  T.plot = (element, props, watch) => {
    framed(element);
    const host = element.querySelector('.tk-plot'), frame = element.querySelector('.tk-frame');
    // What says of a number of it where that came from: the page's panel, or an answer that is kept.
    const part = element.closest('[id^="plot-"]')?.id.slice('plot-'.length);
    element.querySelector('.tk-figure').asks = () => {
      const {of, with: told} = figure?.layout.meta ?? {};
      return of ? {of} : part && T.explain?.figures ? {figure: part, with: told} : null;
    };
    const pointed = T.pointed?.(element, () => figure && {data: contents, layout: figure.layout});
    const lines = Object.fromEntries(['selected-x', 'selected-y', 'hover-x'].map(name => {
      const line = document.createElement('div');
      line.className = `tk-line tk-${name}`;
      line.hidden = true;
      frame.appendChild(line);
      return [name, line];
    }));
    let figure = null, hovered = null, drawn = '', room = 0, contents = [];
    T.savable({
      element: frame.parentElement,
      name: () => figure?.layout.meta?.name,
      formats: {
        png: () => T.picture(host, {data: host.data, layout: figure.layout}, 'png'),
        svg: () => T.picture(host, {data: host.data, layout: figure.layout}, 'svg'),
        csv: () => T.csv(T.marks({data: contents, layout: figure.layout})),
      },
    });
    const quality = T.qualityLine?.(frame, host, () => figure?.layout.meta?.quality);
    const numbers = T.numbers(element.querySelector('.tk-numbers'), () => figure && {data: contents, layout: figure.layout});

    const place = (line, axis, value, side) => {
      const full = host._fullLayout;
      line.hidden = true;
      if (!full || !Number.isInteger(value)) return;
      const ax = full[axis];
      if (!ax || ax.l2p === undefined) return;
      const half = Math.abs(ax.l2p(value + .5) - ax.l2p(value - .5)) / 2;
      const centre = ax.l2p(value), length = ax._length;
      if (!(centre >= -half - 1 && centre <= length + half + 1)) return;
      const size = full._size;
      line.hidden = false;
      const width = Math.max(2, half * 2);
      const from = Math.max(0, centre - width / 2), to = Math.min(length, centre + width / 2);
      Object.assign(line.style, side === 'x'
        ? {left: `${size.l + from}px`, width: `${Math.max(2, to - from)}px`, top: `${size.t}px`, height: `${size.h}px`}
        : {top: `${size.t + from}px`, height: `${Math.max(2, to - from)}px`, left: `${size.l}px`, width: `${size.w}px`});
    };
    // Of a row of words as many are in sight as have room, with the chosen token among them.
    const ends = () => {
      const first = figure.data[0].x[0], cells = figure.layout.meta.cells, seen = seenOf(host, cells);
      const start = Math.max(0, Math.min(cells - seen, (T.state.token ?? first) - first - (seen >> 1)));
      return [first + start - .5, first + start + seen - .5];
    };
    const windowed = layout => {
      if (!layout.meta?.cells) return layout;
      const labels = layout.xaxis.ticktext?.map(text => cut(text, LONGEST_LABEL));
      return {...layout, xaxis: {...layout.xaxis, ticktext: labels, range: ends(), autorange: false}};
    };
    const follow = () => {
      if (!host.data || !figure?.layout.meta?.cells) return;
      const [from, to] = host.layout.xaxis.range, token = T.state.token, wanted = ends();
      if (token < from || token > to) if (wanted[0] !== from) P.relayout(host, {'xaxis.range': wanted});
    };
    const overlay = () => {
      const meta = figure?.layout.meta;
      if (!meta) return;
      const state = T.state, pick = name => name === 'query' ? (Number.isInteger(state.query) ? state.query : state.token) : state[name];
      place(lines['selected-x'], meta.mainx || 'xaxis', meta.x ? pick(meta.x) : null, 'x');
      place(lines['selected-y'], 'yaxis', meta.y ? pick(meta.y) : null, 'y');
      place(lines['hover-x'], meta.mainx || 'xaxis', meta.x === 'token' ? hovered : null, 'x');
      quality?.();
    };
    const values = (meta, point) => {
      const found = {};
      for (const side of ['x', 'y']) if (meta[side]) found[meta[side]] = Math.round(point[side]);
      (meta.point || []).forEach((name, place) => { if (Number.isInteger(point.customdata?.[place])) found[name] = point.customdata[place]; });
      return found;
    };
    const wire = () => {
      host.on('plotly_click', event => {
        const meta = figure.layout.meta;
        if (meta?.opens) { T.bus.emit('open', event.points[0].customdata?.at(-1)); return; }
        pointed?.at(event.points[0]);
        if (meta) T.select(values(meta, event.points[0]));
      });
      host.on('plotly_hover', event => {
        if (figure.layout.meta?.x === 'token') T.bus.emit('hover', {token: Math.round(event.points[0].x), from: 'plot'});
      });
      host.on('plotly_unhover', () => T.bus.emit('hover', {token: null, from: 'plot'}));
      host.on('plotly_afterplot', overlay);
      host.on('plotly_relayout', change => {
        overlay();
        if (figure.layout.meta?.zoom !== 'region') return;
        if (change['xaxis.autorange'] || change['yaxis.autorange']) { T.bus.emit('zoom', {reset: true}); return; }
        if (!Object.keys(change).some(key => key.startsWith('xaxis.range') || key.startsWith('yaxis.range'))) return;
        const full = host._fullLayout, x = [...full.xaxis.range].sort((a, b) => a - b), y = [...full.yaxis.range].sort((a, b) => a - b);
        T.bus.emit('zoom', {keys: [Math.max(0, Math.floor(x[0] + .5)), Math.ceil(x[1] + .5)], queries: [Math.max(0, Math.floor(y[0] + .5)), Math.ceil(y[1] + .5)]});
      });
    };
    // What is out of sight, in a view that is closed, costs no nodes; it is drawn again when seen.
    const release = () => {
      if (host.data) P.purge(host);
      delete host.dataset.wired;
      figure = null;
      drawn = '';
    };
    const drawNow = async force => {
      if (!P) await came;
      const text = props.value;
      frame.classList.toggle('tk-empty', !text);
      if (!text || !frame.clientWidth) { release(); return false; }
      if (text === drawn && !force) return false;
      drawn = text;
      figure = JSON.parse(text);
      const label = figure.layout.meta?.label;
      if (label) frame.setAttribute('aria-label', label);
      frame.style.minHeight = `${figure.layout.height}px`;
      room = roomIn(host, figure.layout.meta);
      contents = filled(figure, Infinity);
      pen.font = `${figure.data[0]?.textfont?.size ?? 12}px ${css(document.body, '--font', 'system-ui')}`;
      await P.react(host, filled(figure, room), windowed(themed(figure, element)), {
        responsive: true, displaylogo: false,
        // Plotly offers to upload the chart to its own cloud unless told not to.
        showSendToCloud: false, plotlyServerURL: '',
        modeBarButtonsToRemove: ['select2d', 'lasso2d', 'toImage', 'autoScale2d'],
      });
      if (!host.dataset.wired) { host.dataset.wired = '1'; wire(); }
      overlay();
      numbers();
      pointed?.again();
      return true;
    };
    // Of several changes only the newest value is drawn.
    let waits = false, forced = false;
    const draw = force => {
      forced ||= force === true;
      if (waits) return;
      waits = true;
      inTurn(() => { const now = forced; waits = forced = false; return drawNow(now); });
    };
    draw();
    watch('value', () => draw());
    T.bus.on('select', () => { follow(); overlay(); });
    T.bus.on('hover', detail => { hovered = detail.token; overlay(); });
    let dark = document.body.classList.contains('dark');
    new MutationObserver(() => { // a picture is made in light: what was put back is no change
      const now = document.body.classList.contains('dark');
      if (now === dark) return;
      dark = now;
      if (host.data) draw(true);
    }).observe(document.body, {attributes: true, attributeFilter: ['class']});
    new ResizeObserver(() => {
      if (!frame.clientWidth || !host.data) { draw(); return; }
      const meta = figure?.layout.meta, now = roomIn(host, meta);
      if (meta?.cells ? now !== room : unwritten(meta, now) !== unwritten(meta, room)) draw(true); else P.Plots.resize(host);
    }).observe(frame);
  };
})();
