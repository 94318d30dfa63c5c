// One text under several tokenizers: blocks of rows whose cuts stand under one another, and a readout.
(() => {
  const T = window.tokenarium;
  if (T.cutStrip) return;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name ?? '', textContent: text ?? ''});

  T.cutStrip = host => {
    const strip = host.appendChild(make('div', 'tk-cut-strip'));
    const readout = host.appendChild(make('div', 'tk-readout'));
    readout.setAttribute('aria-live', 'polite');
    Object.assign(strip, {tabIndex: 0, dir: 'auto'});
    strip.setAttribute('role', 'group');
    strip.setAttribute('aria-label', 'The text under each tokenizer; arrow keys go from token to token and from row to row');
    let value = null, run = '', cells = [], chosen = null;

    // Text and numbers, each of which opens as that token's place in the run of all rows.
    const words = ({row, first, after}) => {
      const {title, tokens} = value.rows[row], before = value.rows.slice(0, row).reduce((sum, other) => sum + other.tokens.length, 0);
      const each = tokens.slice(first, after).flatMap(([id, bytes, rank, pair], at) => {
        const number = (text, field) => T.number(text, `${field} ${before + first + at}`, run);
        const merge = rank < 0 ? ['made by no merge'] : ['merge ', number(rank.toLocaleString('en'), 'merge_rank'), `: ${pair}`];
        return [at ? '; id ' : 'id ', number(String(id), 'token_ids'), `, bytes ${bytes || 'none'}, `, ...merge];
      });
      const several = after - first > 1 ? `${after - first} tokens spell this: ` : '';
      return [`${title}, token ${first + 1} of `, T.number(String(tokens.length), `tokens ${row}`, run), `: ${several}`, ...each];
    };
    const say = cell => readout.replaceChildren(...cell ? words(cell) : ['Point at a piece, or press it, for its bytes, id and merge.']);
    const choose = cell => {
      chosen?.part.removeAttribute('data-selected');
      chosen = cell ?? null;
      chosen?.part.setAttribute('data-selected', '');
      chosen?.part.scrollIntoView({block: 'nearest'});
      say(chosen);
    };
    const rowOf = (block, row, numbers, rows) => {
      const line = make('div', 'tk-cut-row');
      line.style.setProperty('--lane', `var(--tk-lane-${row})`);
      for (const [text, first, after] of block[row]) {
        const part = line.appendChild(make('span', 'tk-cut', text || '\u200b'));
        if (numbers[row]++ % 2) part.dataset.odd = '';
        if (after - first > 1) part.dataset.several = after - first;
        rows[row].push({part, row, first, after});
      }
      return line;
    };
    const draw = (next, of) => {
      value = next;
      run = of;
      chosen = null;
      const numbers = value.rows.map(() => 0), rows = value.rows.map(() => []);
      strip.replaceChildren(...value.blocks.map(block => {
        const box = make('div', 'tk-cut-block');
        box.append(...block.map((_, row) => rowOf(block, row, numbers, rows)));
        if (block[0].at(-1)?.[0].endsWith('⏎')) box.dataset.ends = '';
        return box;
      }));
      cells = rows;
      say(null);
    };
    // A row for every piece in sight, and the pieces as a picture.
    const rows = () => cells.flatMap((row, at) => row.map(({part, first, after}) => {
      const {title, tokens} = value.rows[at];
      return {tokenizer: title, token: first, text: part.textContent.replace('\u200b', ''), tokens: after - first, ids: tokens.slice(first, after).map(([id]) => id).join(' '), bytes: tokens.slice(first, after).map(([, bytes]) => bytes).join(' ')};
    }));
    T.linked = true; // its address has all that is shown
    T.snapshot({element: strip, name: 'tokens', title: () => 'The text under each tokenizer', root: () => cells.length ? strip : null, rows, of: () => ({meta: {caption: `Tokenarium · ${value.rows.map(({title}) => title).join(' · ')}`}, run: ''})});
    const cellOf = target => cells.flat().find(cell => cell.part === target);
    strip.addEventListener('pointerover', event => { const cell = cellOf(event.target); if (cell) say(cell); });
    strip.addEventListener('pointerleave', () => say(chosen));
    strip.addEventListener('click', event => { const cell = cellOf(event.target); if (cell) choose(cell === chosen ? null : cell); });
    strip.addEventListener('keydown', event => {
      const along = {ArrowRight: 1, ArrowLeft: -1}[event.key], down = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (!along && !down) return;
      event.preventDefault();
      if (!chosen) { choose(cells[0]?.[0]); return; }
      const row = cells[chosen.row], at = row.indexOf(chosen);
      if (along) { choose(row[at + along] ?? chosen); return; }
      const other = cells[chosen.row + down];
      if (!other) return;
      const left = chosen.part.getBoundingClientRect(), near = part => { const box = part.getBoundingClientRect(); return Math.abs(box.left - left.left) + 4 * Math.abs(box.top - left.top); };
      choose(other.reduce((best, cell) => near(cell.part) < near(best.part) ? cell : best));
    });
    return draw;
  };
})();
