// Which page is open, and what of it the address says: ?tab=cache&run=...&sweep=...; Explore, the
// first page, keeps its own part of the address in selection.js. (Gradio takes ?page= for itself.)
(() => {
  const T = window.tokenarium;
  if (T.page) return;
  const HOME = 'explore', KINDS = ['run', 'sweep', 'race'], WAIT_MS = 4000;
  const shown = {}, openers = {}, until = {}, next = {};
  const here = () => new URL(location.href).searchParams.get('tab') || HOME;

  const tabOf = page => [...document.querySelectorAll('#pages button[role=tab]')].find(tab => tab.textContent.trim().toLowerCase() === page);

  const addressOf = page => {
    if (page === HOME) return T.address();
    const url = new URL(location.href);
    for (const key of [...url.searchParams.keys()]) if (!key.startsWith('__')) url.searchParams.delete(key);
    url.searchParams.set('tab', page);
    for (const [key, value] of Object.entries(shown[page] || {})) if (value) url.searchParams.set(key, value);
    return url;
  };
  const go = page => {
    const url = addressOf(page);
    if (url.href !== location.href) history.pushState({page}, '', url);
  };

  // One question at a time: an answer to the one before must not be taken for this one's.
  const ask = (page, asked) => {
    if (until[page] > Date.now()) { next[page] = asked; return; }
    until[page] = Date.now() + WAIT_MS;
    openers[page]({...asked, asked: true});
    setTimeout(() => answered(page), WAIT_MS + 100);
  };
  const answered = page => {
    const asked = next[page];
    delete next[page];
    if (asked || until[page] < Date.now()) until[page] = 0;
    if (asked) ask(page, asked);
    return Boolean(asked);
  };

  // A tab was chosen.
  T.page = page => { if (here() !== page) go(page); };

  // A page tells what it shows; ``open`` asks Python for what the address names.
  T.linked = (page, props, watch, open) => {
    const take = () => {
      const told = props.value;
      if (!told || told.asked) return;
      for (const key of KINDS) if (key in told) (shown[page] ??= {})[key] = told.example && key === 'run' ? null : told[key];
    };
    openers[page] = open;
    take();
    watch('value', () => {
      if (props.value?.asked) return;
      take();
      until[page] = 0;
      if (!answered(page) && here() === page) go(page);
    });
  };

  // The page that the address names is opened as soon as there is a tab for it that listens.
  const wanted = here();
  const open = () => {
    const tab = tabOf(wanted);
    if (here() !== wanted || tab?.getAttribute('aria-selected') === 'true') return;
    tab?.click();
    setTimeout(open, 100);
  };
  if (wanted !== HOME) open();

  window.addEventListener('popstate', () => {
    const page = here(), query = new URL(location.href).searchParams;
    tabOf(page)?.click();
    if (page === HOME || !openers[page]) return;
    const asked = Object.fromEntries(KINDS.map(key => [key, query.get(key)]));
    if (until[page] > Date.now() || KINDS.some(key => (shown[page]?.[key] ?? null) !== asked[key])) ask(page, asked);
  });
})();
