// Numbers that say why: each opens its definition, the slice it came from, and Python that gives it again.
(() => {
  const T = window.tokenarium;
  if (T.why) return;
  const EDGE = 8;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name ?? '', textContent: text ?? ''});
  let box = null, from = null;

  const place = () => {
    if (!from?.isConnected) { close(false); return; }
    const at = from.getBoundingClientRect(), wide = box.offsetWidth, tall = box.offsetHeight, below = innerHeight - at.bottom - EDGE;
    box.style.left = `${Math.max(EDGE, Math.min(at.left, innerWidth - wide - EDGE))}px`;
    box.style.top = `${tall + 4 <= below || below >= at.top ? Math.min(at.bottom + 4, Math.max(EDGE, innerHeight - tall - EDGE)) : Math.max(EDGE, at.top - tall - 4)}px`;
  };
  const away = event => { if (!box.contains(event.target) && !from?.contains(event.target)) close(false); };
  const moved = event => { if (!box.contains(event.target)) place(); };
  const close = back => {
    if (!box?.matches(':popover-open')) return;
    box.hidePopover();
    document.removeEventListener('pointerdown', away, true);
    removeEventListener('scroll', moved, true);
    removeEventListener('resize', place);
    from?.setAttribute('aria-expanded', 'false');
    if (back && from?.isConnected) from.focus({preventScroll: true});
    from = null;
  };
  const written = found => {
    if (found.error) return [make('p', 'tk-source-error', found.error)];
    const facts = [['Value', `${found.value}${found.unit ? ` ${found.unit}` : ''}`, 'code'], ['Made of', found.of], ['From', found.slice, 'code'], ['Defined as', found.formula, 'code'], ['Axes', found.axes, 'code'], ['Paper', found.paper], ['', found.note]];
    const list = make('dl');
    for (const [name, text, tag] of facts) {
      if (!text) continue;
      const told = make('dd');
      told.append(make(tag ?? 'span', '', text));
      list.append(make('dt', '', name), told);
    }
    const copy = Object.assign(make('button', 'tk-source-copy', 'Copy Python'), {type: 'button'});
    copy.dataset.copy = found.python;
    return [make('h2', '', found.title), make('p', '', found.meaning), list, make('pre', '', found.python), copy];
  };
  const shut = () => {
    const button = Object.assign(make('button', 'tk-source-close', '×'), {type: 'button', onclick: () => close(true)});
    button.setAttribute('aria-label', 'Close');
    return button;
  };
  const filled = (...parts) => { box.replaceChildren(shut(), ...parts); place(); };

  // A number of a figure is asked for with what the figure was drawn by.
  const ofFigure = button => {
    const [what, trace, key, ...at] = button.dataset.why.split(' '), asked = what === 'figure' && button.closest('.tk-figure')?.asks?.();
    if (!asked) return null;
    return asked.of ? [`figure_${key} ${[trace, ...at].join(' ')}`, asked.of] : [{...asked, at: [Number(trace), key, ...at.map(Number)], told: T.told()}, null];
  };
  T.why = async button => {
    if (from === button) { close(true); return; }
    close(false);
    if (!box) {
      box = make('section', 'tk-source');
      box.popover = 'manual'; // in the browser's top layer, where nothing clips it
      box.tabIndex = -1;
      box.setAttribute('role', 'dialog');
      box.setAttribute('aria-label', 'Why this number');
      box.addEventListener('keydown', event => {
        event.stopPropagation(); // the page's own keys rest meanwhile
        if (event.key === 'Escape') { event.preventDefault(); close(true); }
      });
      document.body.append(box);
    }
    from = button;
    button.setAttribute('aria-expanded', 'true');
    box.showPopover();
    filled(make('p', '', 'Asking…'));
    box.focus({preventScroll: true});
    document.addEventListener('pointerdown', away, true);
    addEventListener('scroll', moved, true);
    addEventListener('resize', place);
    let found;
    try {
      const run = button.closest('[data-run]')?.dataset.run ?? T.state.run ?? (ofFigure(button) && 'figure');
      found = run && T.explain ? await T.explain(...ofFigure(button) ?? [button.dataset.why, run]) : {error: 'This run is not finished: its numbers are explained once it is stored.'};
    } catch (error) { found = {error: `Not explained: ${error?.message ?? error}`}; }
    if (from === button) filled(...written(found));
  };
  // A number that a script draws: its text, where it came from, and the run that it is of, if another.
  T.number = (text, written, run) => {
    const button = Object.assign(make('button', '', text), {type: 'button'});
    button.dataset.why = written;
    if (run) button.dataset.run = run;
    return button;
  };
  // Under a figure: the number of the point that was pressed last, also after it is drawn anew.
  T.pointed = (element, figure) => {
    let line = null, at = null;
    const show = () => {
      const found = at && figure(), section = element.querySelector('.tk-figure'), {plain, axisOf, decoded, titled, written: short} = T.numbers.parts;
      line?.replaceChildren();
      if (!found || !T.explain || !section.asks?.()) return;
      const trace = found.data[at.trace], map = trace?.type === 'heatmap', sides = map ? ['y', 'x'] : trace?.orientation === 'h' ? ['y'] : ['x'];
      const up = map ? 'z' : trace?.orientation === 'h' ? 'x' : 'y', values = decoded(trace?.[up]), value = map ? values?.[at.place[0]]?.[at.place[1]] : values?.[at.place[0]];
      if (typeof value !== 'number' || !Number.isFinite(value)) return;
      const names = found.layout.meta?.names, lies = (side, place) => {
        const given = decoded(trace[side]), name = map && names?.[side === 'y' ? 'rows' : 'columns']?.[place] || (given ? given[place] : place);
        return `${titled(found.layout, axisOf(trace, side), side)} ${typeof name === 'number' ? short(name) : plain(name)}`;
      };
      const where = sides.map((side, place) => lies(side, at.place[place])), bar = trace.colorbar ?? found.layout[trace.coloraxis]?.colorbar;
      const what = plain(map ? bar?.title?.text : trace.name) || titled(found.layout, axisOf(trace, up), 'value');
      if (!line) {
        line = make('p', 'tk-sub tk-pointed');
        line.setAttribute('role', 'status');
        section.querySelector('.tk-frame').after(line);
      }
      line.append(`${where.join(', ')}: ${what} `, T.number(short(value), `figure ${at.trace} ${up} ${at.place.join(' ')}`));
    };
    return {
      at: point => { at = {trace: point.curveNumber, place: [point.pointNumber ?? point.pointIndex].flat()}; show(); },
      again: show,
    };
  };
  // A line may break before and after any button: signs that belong to a number stay with it.
  const BEFORE = /[(\[“‘"']+$/, AFTER = /^[)\]”’"'.,;:%!?]+/;
  const together = button => {
    const [before, after] = [button.previousSibling, button.nextSibling], text = node => node?.nodeType === Node.TEXT_NODE ? node.nodeValue : '';
    const first = text(before).match(BEFORE)?.[0] ?? '', last = text(after).match(AFTER)?.[0] ?? '';
    if (!first && !last || button.parentElement.classList.contains('tk-together')) return;
    if (first) before.nodeValue = before.nodeValue.slice(0, -first.length);
    if (last) after.nodeValue = after.nodeValue.slice(last.length);
    const both = make('tk-together', 'tk-together'); // no span: those have looks of their own
    button.replaceWith(both);
    both.append(first, button, last);
  };
  const told = '[data-why]:is(.tk-sentence *, .tk-sub *, li *, caption *, dd *)';
  new MutationObserver(changes => {
    for (const {addedNodes} of changes) for (const node of addedNodes)
      if (node.nodeType === Node.ELEMENT_NODE && !node.closest('.tk-together')) for (const button of node.querySelectorAll(told)) together(button);
  }).observe(document.documentElement, {childList: true, subtree: true});
  document.querySelectorAll(told).forEach(together);
  document.addEventListener('click', event => {
    const button = event.target.closest('[data-why]');
    if (!button) return;
    event.preventDefault(); // in a summary, the number opens and its row stays as it is
    T.why(button);
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape' && from) { event.preventDefault(); close(true); }
    // The arrows and letters are the page's; what presses a button is the button's.
    else if (event.target.closest?.('[data-why]') && [' ', 'Enter'].includes(event.key)) event.stopPropagation();
  }, true);
})();
