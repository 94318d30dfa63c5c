// The page of a stored run without a server: one selection, and for every place in it what the file has.
(() => {
  const bus = new EventTarget(), state = {};
  const SIZES = {token: 'tokens', query: 'tokens', layer: 'layers', head: 'heads', step: 'steps', round: 'rounds', place: 'places'};
  const emit = (name, detail) => bus.dispatchEvent(new CustomEvent(name, {detail}));
  const on = (name, listener) => bus.addEventListener(name, event => listener(event.detail));
  const select = patch => {
    const wanted = {...patch};
    for (const [key, size] of Object.entries(SIZES))
      if (Number.isInteger(wanted[key]) && state[size]) wanted[key] = Math.max(0, Math.min(state[size] - 1, wanted[key]));
    if ('token' in wanted && !('query' in wanted)) wanted.query = null;
    if ('round' in wanted && !('node' in wanted)) wanted.node = null;
    if (Object.keys(wanted).every(key => state[key] === wanted[key])) return;
    Object.assign(state, wanted);
    emit('place', state);
    emit('select', {...state});
  };
  const nothing = () => {};
  const T = window.tokenarium = {
    bus: {on, emit}, state, select, tell: nothing, settle: nothing, running: {}, fromAddress: () => ({}),
    address: () => new URL(location.href), page: {slug: '', arrows: 'token'}, alone: true, pressed: {arrived: nothing},
  };

  // The file's value for what is chosen. Of steps the last one before that is kept.
  const changed = (value, wanted) => {
    const found = structuredClone(value);
    for (const [path, value] of wanted) {
      if (!path.length) return value;
      const last = path.at(-1), place = path.slice(0, -1).reduce((at, name) => at[name], found);
      place[last] = value;
    }
    return found;
  };
  const keyOf = part => {
    const chosen = part.by.map(name => state[name]);
    if (part.by.at(-1) !== 'step') return chosen.join();
    for (let step = chosen.pop() ?? 0; step >= 0; step--) if ([...chosen, step].join() in part.changes) return [...chosen, step].join();
    return '';
  };
  const mount = part => {
    const element = Object.assign(document.createElement('section'), {className: 'tk-block', innerHTML: part.template});
    element.id = part.component === 'plot' ? `plot-${part.name}` : part.name;
    document.querySelector(`[data-part="${part.name}"]`).replaceWith(element);
    const watchers = [], sent = value => part.text && value !== null ? JSON.stringify(value) : value;
    const props = {value: sent(part.value)};
    let key = null;
    const follow = () => {
      const now = keyOf(part);
      if (now === key) return;
      key = now;
      const wanted = part.changes[key];
      element.classList.toggle('tk-left-out', !wanted);
      props.value = sent(wanted ? changed(part.value, wanted) : null);
      for (const watcher of watchers) watcher();
    };
    if (part.by.length && part.component !== 'strip') follow(); // a strip is sent whole at first
    T[part.component](element, props, (name, watcher) => watchers.push(watcher), {
      tree_of: async ({round}) => T.trees[round], step_of: async ({lane, step}) => T.steps[`${lane},${step}`],
    });
    if (part.by.length) on('place', follow);
  };

  T.offlineCard = (element, props) => {
    const host = element.querySelector('.tk-card-host'), {cards, rows} = props.value;
    const draw = () => {
      host.innerHTML = cards[state.token] ?? '';
      const box = host.querySelector('.tk-parts > div:last-child'), own = rows[`${state.layer},${state.head}`];
      box.querySelector('h3').textContent = `In layer ${state.layer}, head ${state.head}`;
      box.querySelectorAll('data').forEach((data, row) => { data.textContent = own ? own[row][state.token] : 'not in this file'; });
    };
    draw();
    on('place', draw);
  };

  // The Compare page asks for other measures: the file has what is different by each.
  T.offlineCompare = (element, props, watch) => {
    const {first, places, heads} = props.value, heard = [];
    T.compare(element, props, (_, listener) => heard.push(listener), () => {
      const {metric, measure, number} = props.value;
      props.value = {...changed(first, [...places[metric] ?? [], ...heads[measure] ?? []]), number};
      heard.forEach(listener => listener());
    });
  };

  T.begin = ({state: first, arrows, parts, trees, steps}) => {
    Object.assign(state, first);
    T.page.arrows = arrows;
    Object.assign(T, {trees, steps});
    parts.forEach(mount);
    emit('select', {...state});
    document.documentElement.dataset.ready = '';
  };
})();
