// A text as a grid of cells, a few pixels a token, so that 32,768 tokens fit one screen.
(() => {
  const T = window.tokenarium;
  if (T.pixels) return;
  const LARGEST = 14, SMALLEST = 2, HIGHEST = 480;

  T.pixels = host => {
    const box = document.createElement('div'), base = document.createElement('canvas'), marks = document.createElement('canvas');
    box.className = 'tk-pixels';
    box.append(base, marks);
    let cell = 0, across = 1, count = 0, levels = [], few = null, edge = null, marked = {};

    const ratio = () => window.devicePixelRatio || 1;
    // The size of a cell is set by what fits: the largest whose rows stay below HIGHEST.
    const measure = () => {
      const width = host.clientWidth - 20;
      for (cell = LARGEST; cell > SMALLEST; cell--) {
        across = Math.max(1, Math.floor(width / cell));
        if (Math.ceil(count / across) * cell <= HIGHEST) break;
      }
      across = Math.max(1, Math.floor(width / cell));
      const height = Math.ceil(count / across) * cell;
      for (const canvas of [base, marks]) {
        canvas.width = Math.round(across * cell * ratio());
        canvas.height = Math.round((height + 4) * ratio());
        Object.assign(canvas.style, {width: `${across * cell}px`, height: `${height + 4}px`});
        canvas.getContext('2d').setTransform(ratio(), 0, 0, ratio(), 0, 2 * ratio());
      }
      box.style.height = `${height + 4}px`;
    };
    const place = token => [token % across * cell, Math.floor(token / across) * cell];
    const css = name => getComputedStyle(host).getPropertyValue(name).trim();
    const fill = () => {
      const pen = base.getContext('2d'), gap = cell > 4 ? 1 : 0, none = css('--tk-none'), bar = css('--tk-few');
      pen.clearRect(0, -2, base.width, base.height);
      // The lowest level is drawn too, faintly: a grid without it would seem to have holes.
      const shade = Array.from({length: T.values.LEVELS}, (_, level) => `rgb(245 158 11 / ${Math.max(.05, level / (T.values.LEVELS - 1))})`);
      for (let token = 0; token < count; token++) {
        const [x, y] = place(token), level = levels[token];
        pen.fillStyle = level < 0 ? none : shade[level];
        const unsure = few !== null && token >= few;
        pen.globalAlpha = unsure ? .25 : 1;
        pen.fillRect(x, y, cell - gap, cell - gap);
        pen.globalAlpha = 1;
        if (unsure) { pen.fillStyle = bar; pen.fillRect(x, y, Math.max(1, (cell - gap) / 2), Math.max(1, (cell - gap) / 2)); }
      }
      if (edge !== null) {
        const [x, y] = place(edge);
        pen.fillStyle = css('--tk-edge');
        pen.fillRect(x, y - 1, 2, cell + 2);
        pen.fillRect(x, y - 1, across * cell - x, 1);
        pen.fillRect(0, y + cell, x, 1);
      }
    };
    const ring = (pen, [from, to], colour, dash) => {
      // A ring about the smallest cells must still be seen.
      const around = Math.max(1, (10 - cell) / 2);
      for (let token = from; token < to;) {
        const [x, y] = place(token), run = Math.min(to - token, across - token % across);
        for (const [width, stroke, lines] of [[4, css('--body-text-color'), []], [2, colour, dash]]) {
          pen.lineWidth = width; pen.strokeStyle = stroke; pen.setLineDash(lines);
          pen.strokeRect(x - around, y - around, run * cell + 2 * around, cell + 2 * around);
        }
        token += run;
      }
    };
    const mark = (wanted = marked) => {
      marked = wanted;
      const pen = marks.getContext('2d');
      pen.clearRect(0, -2, marks.width, marks.height);
      if (marked.query) ring(pen, marked.query, '#10b981', [2, 2]);
      if (marked.selected) ring(pen, marked.selected, '#60a5fa', []);
      if (marked.hover) ring(pen, marked.hover, '#ffffff', [3, 2]);
    };
    const draw = () => { if (host.clientWidth) { measure(); fill(); mark(); } };

    return {
      box, mark,
      show: drawn => { ({levels, few, edge} = drawn); count = levels.length; draw(); },
      at: event => {
        const area = base.getBoundingClientRect(), x = Math.floor((event.clientX - area.left) / cell), y = Math.floor((event.clientY - area.top - 2) / cell);
        const token = y * across + x;
        return x >= 0 && x < across && y >= 0 && token < count ? token : null;
      },
      across: () => across,
      top: token => place(token)[1],
      redraw: draw,
    };
  };
})();
