// What a page shows and what is chosen in it: one selection for all panels, and its address.
//
// The state has the run that is shown, the place in it (token, query, layer, head, step, policy, ...)
// and how things are shown (view, metric, ...). A change by the visitor goes to every panel at once,
// into the address, and to Python; hovering stays here. Python's messages say why they come, so that
// nothing is guessed about the history.
(() => {
  if (window.tokenarium) return;
  const bus = new EventTarget();
  const INTEGERS = ['token', 'query', 'layer', 'head', 'step', 'round', 'node', 'place'];
  // Python hears of these only when a panel lacks what it is to show.
  const LOCAL = ['metric', 'measure', 'colour', 'unit', 'density', 'round', 'node', 'place', 'roads', 'line'];
  const KEYS = ['run', 'view', ...INTEGERS, 'policy', 'metric', 'measure', 'colour', 'unit', 'density', 'roads', 'line'];
  const ASKED = ['branch', 'explain']; // what an address asks for, until the run that answers has an address of its own
  const SIZES = {token: 'tokens', query: 'tokens', layer: 'layers', head: 'heads', step: 'steps', round: 'rounds', place: 'places'};
  const state = {}, home = {};
  // By section (run, sweep, race): what goes on or was stopped, and whether it is to be found again.
  const running = {}, lost = {};
  let sections = ['run'], latest = null, asked = 0, opening = 0, send = () => {};

  const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, {detail}));
  const on = (name, listener) => bus.addEventListener(name, event => listener(event.detail));

  const names = () => [...sections, ...KEYS.slice(1)];
  // Sections whose runs an address names, in its order.
  const named = url => [...url.searchParams.keys()].filter(key => sections.includes(key));
  // What goes on is found again by the address, before what is still shown until it has something.
  const value = key => sections.includes(key) && !lost[key] && running[key] ? running[key] : state[key];
  const address = () => {
    const url = new URL(location.href);
    for (const key of names()) {
      const found = value(key);
      if (found === undefined || found === null || found === '') url.searchParams.delete(key);
      else url.searchParams.set(key, found);
    }
    if (url.searchParams.has('run')) ASKED.forEach(name => url.searchParams.delete(name));
    // Of several sections the one that was asked last stands last: a link opens there.
    const last = url.searchParams.get(latest);
    if (last && named(url).length > 1) { url.searchParams.delete(latest); url.searchParams.set(latest, last); }
    return url;
  };
  const fromAddress = () => {
    const query = new URL(location.href).searchParams, found = {};
    for (const key of names()) {
      if (!query.has(key)) continue;
      const raw = query.get(key);
      if (!INTEGERS.includes(key)) found[key] = raw;
      else if (/^\d{1,9}$/.test(raw)) found[key] = Number(raw);
    }
    return found;
  };
  const remember = how => {
    const url = address();
    if (url.href !== location.href) history[how]({}, '', url);
  };
  for (const key of [...LOCAL, 'view']) if (key in fromAddress()) state[key] = fromAddress()[key];

  const limit = patch => {
    const found = {...patch};
    for (const [key, size] of Object.entries(SIZES))
      if (Number.isInteger(found[key]) && state[size]) found[key] = Math.max(0, Math.min(state[size] - 1, found[key]));
    return found;
  };

  // What Python is told with every event.
  let tab = null; // the view whose tab was pressed last
  const told = () => ({
    tab,
    ...Object.fromEntries(KEYS.map(key => [key, state[key] ?? null])),
    runs: Object.fromEntries(sections.filter(key => state[key]).map(key => [key, state[key]])),
    running: {...running},
    shown: Object.fromEntries(sections.map(key => [key, state[key] ?? null])),
    visitor: window.tokenarium.visitor,
    group: window.tokenarium.group ?? null,
  });
  const tell = () => send('pick', {...told(), reply: ++asked});

  // A change made by the visitor: every panel hears it at once, Python right after, unless there is
  // more to come (``how`` false, as while something plays).
  const select = (patch, how = 'pushState') => {
    const wanted = limit(patch);
    if ('token' in wanted && !('query' in wanted)) wanted.query = null;
    if ('round' in wanted && !('node' in wanted)) wanted.node = null;
    if (Object.keys(wanted).every(key => state[key] === wanted[key])) return;
    Object.assign(state, wanted);
    if (how) remember(how);
    emit('select', {...state});
    // A measure of a judged text colours the strip here and is drawn along the text by Python.
    if (how && (Object.keys(wanted).some(key => !LOCAL.includes(key)) || wanted.metric?.startsWith('judge_'))) tell();
  };

  // The visitor opens a stored run: through the same door as every choice, so that answers keep their order.
  const open = (section, id) => {
    if (!id) return;
    opening = ++asked;
    latest = section;
    send('pick', {...told(), runs: {...told().runs, [section]: id}, fresh: true, reply: asked});
  };

  // A tab tells that it is open as soon as it is made, before the address is heard: it counts once a
  // visitor has touched the tabs.
  let touched = false;
  for (const event of ['pointerdown', 'keydown', 'click'])
    document.addEventListener(event, ({target}) => { touched ||= Boolean(target.closest?.('#views')); }, true);
  const viewed = view => { if (touched) { tab = view; select({view}); } };

  // What was played or dragged through has come to rest.
  const settle = () => { remember('replaceState'); tell(); };

  // A message of Python: ``why`` it comes says what becomes of the history. The last message of a
  // stream comes twice: a page that is left goes once.
  let left = false;
  const show = message => {
    if (left) return;
    if (message.reply !== undefined && message.reply !== null && message.reply !== asked) return; // a newer question waits
    const {section = 'run', why} = message;
    if (why === 'arrived') { window.tokenarium.pressed.arrived(); return; }
    if (why === 'moved') { left = true; location.replace(message.to); return; } // another page shows such runs
    if (why === 'start') { latest = section; running[section] = message.id; lost[section] = false; remember(ASKED.some(name => new URL(location.href).searchParams.has(name)) ? 'replaceState' : 'pushState'); emit('going', {section, on: true}); return; }
    if (why === 'stop') {
      // A part that is shown can still be explored; no address leads to it.
      if (section === 'run' && state.partial) lost[section] = true; else delete running[section];
      remember('replaceState');
      emit('going', {section, on: false});
      return;
    }
    const before = location.href, known = fromAddress()[section];
    if (section === 'run') {
      Object.assign(state, {token: null, query: null, layer: null, head: null, step: null, policy: null, run: null, partial: false});
      if (why === 'finish' || message.reply && message.reply === opening) for (const key of ['round', 'node']) state[key] = null;
      for (const size of Object.values(SIZES)) delete state[size];
      for (const [key, found] of Object.entries(message)) if (!['also', 'shown', 'why', 'section', 'reply', 'sections', 'page', 'arrows', 'view'].includes(key)) state[key] = found;
      state.view ??= message.view;
    } else state[section] = message.id;
    if (why !== 'partial') { delete running[section]; lost[section] = false; emit('going', {section, on: false}); }
    if (why === 'first') Object.assign(home, Object.fromEntries(KEYS.map(key => [key, state[key] ?? null])), {view: message.view ?? null});
    if (message.reply && message.reply === opening) remember('pushState');
    if (why === 'finish') remember(known === message.id || known === state[section] ? 'replaceState' : 'pushState');
    if (why !== 'first' || !fromAddress().run) emit('show', {...state, before});
    emit('select', {...state});
  };

  window.addEventListener('popstate', () => {
    tab = null;
    const nothing = Object.fromEntries([...KEYS, ...sections].map(key => [key, null]));
    const wanted = {...nothing, ...home, ...Object.fromEntries(LOCAL.map(key => [key, null])), ...fromAddress()};
    const others = sections.filter(key => (wanted[key] ?? null) !== (value(key) ?? null));
    if (!others.length) { Object.assign(state, limit(wanted)); emit('select', {...state}); tell(); return; }
    for (const key of [...LOCAL, 'view']) state[key] = wanted[key];
    const runs = Object.fromEntries(sections.filter(key => wanted[key]).map(key => [key, wanted[key]]));
    send('pick', {...told(), ...Object.fromEntries(KEYS.map(key => [key, wanted[key]])), runs, reply: ++asked});
  });

  // The hidden component of the page: its first value is what stands on the page as it comes.
  const connect = (props, watch, trigger) => {
    const put = found => { props.value = found; };
    send = (event, detail) => { put(detail); trigger(event); };
    const first = props.value;
    if (first?.shown) {
      sections = first.sections ?? sections;
      latest = named(new URL(location.href)).at(-1) ?? null;
      window.tokenarium.page = {slug: first.page ?? '', arrows: first.arrows ?? 'token'};
      if (first.why) show(first);
    }
    put(told());
    on('zoom', range => send('zoom', {...told(), zoom: range}));
    on('open', point => send('point', {...told(), point}));
    watch('value', () => {
      if (!props.value?.shown) return;
      for (const message of [...(props.value.also ?? []), props.value]) show(message);
      put(told());
    });
  };

  let ticks = 0;
  window.tokenarium = {
    next: () => ++ticks, // never the same twice: a signal that many events raise
    bus: {on, emit}, state, running, select, open, viewed, settle, show, tell, told, fromAddress, address, connect,
    named: () => named(new URL(location.href)),
    page: {slug: '', arrows: 'token'},
  };
})();
