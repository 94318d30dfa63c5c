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
      const run = button.closest('[data-run]')?.dataset.run ?? T.state.run;
      found = run && T.explain ? await T.explain(button.dataset.why, run) : {error: 'This run is not finished: its numbers are explained once it is stored.'};
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
