// Keys of the page: the arrows move what the page steps through, j k [ ] layer and head.
(() => {
  const T = window.tokenarium;
  if (T.keys) return;
  const {state} = T;
  const typing = target => target.closest('input, textarea, select, [contenteditable=true], [role=combobox], [role=radiogroup], [role=slider]:not(.tk-strip)');
  // The strip knows where its words and sentences begin.
  const step = by => {
    const key = T.page.arrows;
    if (key === 'token') return {token: T.step?.(state.token, by) ?? state.token + by};
    return {[key]: (state[key] ?? 0) + by};
  };
  const ends = {Home: () => ({token: 0}), End: () => ({token: state.tokens - 1})};
  const moves = {
    ArrowRight: () => step(1), ArrowLeft: () => step(-1),
    j: () => ({layer: state.layer + 1}), k: () => ({layer: state.layer - 1}),
    ']': () => ({head: state.head + 1}), '[': () => ({head: state.head - 1}),
  };
  T.keys = event => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === '?') { document.querySelector('.tk-keys')?.toggleAttribute('open'); return; }
    // Home and End scroll the page, unless the strip has the focus.
    const change = moves[event.key] ?? (event.target.closest('.tk-strip') ? ends[event.key] : undefined);
    const found = change?.();
    if (!found || !Object.keys(found).every(key => state[{token: 'tokens', layer: 'layers', head: 'heads', step: 'steps', round: 'rounds', place: 'places'}[key]])) return;
    event.preventDefault();
    T.select(found, 'replaceState');
  };
  document.addEventListener('keydown', T.keys);
})();
