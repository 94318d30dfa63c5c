// One selection shared by every view: {run, view, token, query, layer, head}, and how the strip shows
// it: {metric, unit, density}, which Python hears of only when the strip lacks what it is to show.
// Hover stays here; a click is also mirrored in the URL and sent to Python.
(() => {
  if (window.tokenarium) return;
  const bus = new EventTarget();
  const state = {}, home = {};
  const INTEGERS = ['token', 'query', 'layer', 'head'];
  const LOCAL = ['metric', 'unit', 'density'];
  const KEYS = ['run', 'view', ...INTEGERS, ...LOCAL];
  const SHOWN = ['run', ...INTEGERS, 'tokens', 'layers', 'heads', 'example', 'partial'];
  let send = () => {}, returning = null;

  const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, {detail}));
  const on = (name, listener) => bus.addEventListener(name, event => listener(event.detail));

  const elsewhere = () => new URL(location.href).searchParams.has('tab'); // another page has the address
  const address = () => {
    const url = new URL(location.href);
    for (const key of ['tab', 'sweep', 'race']) url.searchParams.delete(key);
    for (const key of KEYS) {
      if (state[key] === undefined || state[key] === null || state[key] === '') url.searchParams.delete(key);
      else url.searchParams.set(key, state[key]);
    }
    return url;
  };
  const fromAddress = () => {
    const query = new URL(location.href).searchParams, found = {};
    if (elsewhere()) return found;
    for (const key of KEYS) {
      if (!query.has(key)) continue;
      const raw = query.get(key);
      if (!INTEGERS.includes(key)) found[key] = raw;
      else if (/^\d{1,9}$/.test(raw)) found[key] = Number(raw);
    }
    return found;
  };
  for (const key of [...LOCAL, 'view']) if (fromAddress()[key]) state[key] = fromAddress()[key];
  const remember = how => { if (!elsewhere()) history[how]({tokenarium: {...state}}, '', address()); };
  const clamp = (value, size) => Math.max(0, Math.min(size - 1, value));

  const limit = patch => {
    const found = {...patch};
    for (const [key, size] of [['token', state.tokens], ['query', state.tokens], ['layer', state.layers], ['head', state.heads]])
      if (Number.isInteger(found[key]) && size) found[key] = clamp(found[key], size);
    return found;
  };

  const tell = () => send({...state});

  // A change made by the visitor: every view hears it at once, Python right after.
  const select = (patch, how = 'pushState') => {
    const wanted = limit(patch);
    if ('token' in wanted && !('query' in wanted)) wanted.query = null;
    if (Object.keys(wanted).every(key => state[key] === wanted[key])) return;
    Object.assign(state, wanted);
    if (how) remember(how);
    emit('select', {...state});
    if (Object.keys(wanted).some(key => !LOCAL.includes(key))) tell();
  };

  // A change made by Python: a new run is on the page.
  const show = shown => {
    if (!shown || !shown.run && !shown.partial) return;
    const another = state.run !== shown.run;
    Object.assign(state, {token: 0, query: null, layer: 0, head: 0, run: null, partial: false});
    for (const key of SHOWN) if (key in shown) state[key] = shown[key];
    state.view ??= shown.view;
    // A run that the address names, or that Back or Forward went to, is in the history already.
    const revisited = [returning, fromAddress().run].includes(shown.run);
    returning = null;
    if (shown.run && shown.run !== shown.example) remember(another && !revisited ? 'pushState' : 'replaceState');
    if (state.run && state.run === state.example && !home.run) { for (const key of KEYS) home[key] = state[key]; home.view = shown.view; }
    emit('show', {...state});
    emit('select', {...state});
  };

  window.addEventListener('popstate', () => {
    if (elsewhere()) return;
    const wanted = {...home, ...Object.fromEntries(LOCAL.map(key => [key, null])), ...fromAddress()};
    // A run named by the address can be here before the example was: only the server knows that.
    if (!wanted.run) { location.reload(); return; }
    if (wanted.run && wanted.run !== state.run) { for (const key of [...LOCAL, 'view']) state[key] = wanted[key]; returning = wanted.run; send(wanted); return; }
    Object.assign(state, limit(wanted));
    emit('select', {...state});
    tell();
  });

  const typing = target => target.closest('input, textarea, select, [contenteditable=true], [role=combobox], [role=radiogroup], [role=slider]:not(.tk-strip)');
  // The strip knows where its words and sentences begin.
  const step = by => window.tokenarium.step?.(state.token, by) ?? state.token + by;
  const KEYMAP = {
    ArrowRight: () => ({token: step(1)}), ArrowLeft: () => ({token: step(-1)}),
    Home: () => ({token: 0}), End: () => ({token: state.tokens - 1}),
    j: () => ({layer: state.layer + 1}), k: () => ({layer: state.layer - 1}),
    ']': () => ({head: state.head + 1}), '[': () => ({head: state.head - 1}),
  };
  document.addEventListener('keydown', event => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === '?') { document.querySelector('.tk-keys')?.toggleAttribute('open'); return; }
    const change = KEYMAP[event.key];
    if (!change || !state.tokens) return;
    event.preventDefault();
    select(change(), 'replaceState');
  });

  // A visitor's private name: made here, kept by this browser, never shown.
  const known = document.cookie.match(/(?:^|; )tokenarium_visitor=([A-Za-z0-9_-]+)/)?.[1];
  let name = known;
  try { name ??= localStorage.getItem('tokenarium_visitor'); } catch { /* storage is off: the cookie alone serves */ }
  if (!/^[0-9a-f]{32}$/.test(name ?? ''))
    name = [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('');
  try { localStorage.setItem('tokenarium_visitor', name); } catch { /* as above */ }
  const secure = location.protocol === 'https:' ? '; SameSite=None; Secure; Partitioned' : '; SameSite=Lax';
  document.cookie = `tokenarium_visitor=${name}; path=/; max-age=31536000${secure}`;

  window.tokenarium = {
    bus: {on, emit}, state, select, show, tell, fromAddress, address,
    connect: sender => { send = sender; },
  };
})();
