// Heads over many texts: a form, a table of heads, and the head that the address names.
(() => {
  const T = window.tokenarium;
  if (T.usualHeads) return;
  const {state} = T;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name ?? '', textContent: text ?? ''});
  const OWN = ['model', 'by', 'order', 'find'];

  T.usualHeads = (element, props, watch, trigger) => {
    const part = name => element.querySelector(`.tk-usual-${name}`);
    const said = part('said'), bar = part('bar'), one = part('head'), list = part('list');
    let asked = 0, shown = '', waits = 0;
    const query = () => new URL(location.href).searchParams;

    const ask = () => {
      element.setAttribute('aria-busy', 'true');
      shown = `${state.layer} ${state.head} ${query()}`;
      const own = Object.fromEntries(OWN.map(key => [key, query().get(key)]));
      props.value = {...own, layer: state.layer ?? null, head: state.head ?? null, visitor: T.visitor, number: ++asked};
      trigger('ask');
    };
    const put = (key, value) => {
      const url = new URL(location.href);
      if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
      history.replaceState({}, '', url);
      ask();
    };
    const label = (text, control) => {
      const box = bar.appendChild(make('label', 'tk-compare-choice', text));
      return box.appendChild(control);
    };
    const choice = (key, text, entries, chosen) => {
      const control = label(text, make('select'));
      for (const [value, title, meaning] of entries) control.appendChild(Object.assign(make('option', '', title), {value, title: meaning ?? ''}));
      control.value = chosen;
      control.addEventListener('change', () => put(key, control.value));
    };
    const build = value => {
      bar.replaceChildren();
      choice('model', 'Model', value.models.map(name => [name, name]), value.model);
      choice('by', 'Sort by', value.measures, value.by);
      choice('order', 'First', [['', 'largest'], ['low', 'smallest']], value.low ? 'low' : '');
      const box = label('Find', Object.assign(make('input'), {type: 'search', placeholder: value.example, value: value.find, maxLength: 200}));
      box.addEventListener('input', () => { clearTimeout(waits); waits = setTimeout(() => put('find', box.value), 300); });
    };
    bar.addEventListener('submit', event => event.preventDefault());

    const scroll = () => element.querySelectorAll('.tk-table').forEach(box => T.scrolls(box, T.captionOf(box.querySelector('table'))));
    const draw = value => {
      element.removeAttribute('aria-busy');
      said.innerHTML = value.said;
      bar.hidden = Boolean(value.refused);
      if (!value.refused) {
        Object.assign(state, {layers: value.layers, heads: value.heads});
        if (!bar.contains(document.activeElement) || !bar.children.length) build(value);
      }
      one.innerHTML = value.head ?? '';
      list.innerHTML = value.table ?? '';
      scroll();
      T.pressed.arrived();
    };
    new ResizeObserver(scroll).observe(element);
    Object.assign(state, T.fromAddress());
    T.bus.on('select', () => { if (shown !== `${state.layer} ${state.head} ${query()}`) ask(); });
    watch('value', () => { if (props.value?.answer && props.value.number === asked) draw(props.value); });
    ask();
  };
})();
