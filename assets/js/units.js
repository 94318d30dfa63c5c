// The map of a text by units: arrows move from unit to unit, Enter explains the token that has the focus.
(() => {
  const T = window.tokenarium;
  if (T.units) return;
  const starts = tokens => tokens.filter((token, place) => !place || token.dataset.unit === '-1' || token.dataset.unit !== tokens[place - 1].dataset.unit);
  T.units = event => {
    const token = event.target.closest?.('.tk-attributed button.tk-unit');
    if (!token || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...token.parentElement.querySelectorAll('button.tk-unit')], first = starts(all);
    const now = first.findLastIndex(each => all.indexOf(each) <= all.indexOf(token));
    const to = {ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: first.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = first[Math.min(Math.max(to, 0), first.length - 1)];
    all.forEach(each => { each.tabIndex = each === next ? 0 : -1; });
    next.focus();
    next.scrollIntoView({block: 'nearest'});
  };
  // Before the page's own arrows, which heed what was taken.
  document.addEventListener('keydown', T.units, true);
})();
