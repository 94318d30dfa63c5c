// Which policy, layer and head are looked at: controls of the selection, which they follow as well.
(() => {
  const T = window.tokenarium;
  if (T.placeBar) return;
  const make = (tag, more) => Object.assign(document.createElement(tag), more);

  T.placeBar = (element, props, watch) => {
    const host = element.querySelector('.tk-place-bar');
    let shows = {};
    const labelled = (name, label, input) => {
      input.id = `place-${name}`;
      const box = make('span', {className: 'tk-field'});
      box.append(make('label', {htmlFor: input.id, textContent: label}), input);
      host.appendChild(box);
      return box;
    };
    const number = (name, label, count) => {
      const typed = make('input', {type: 'number', min: 0, max: count - 1, step: 1});
      const bar = make('input', {type: 'range', min: 0, max: Math.max(1, count - 1), step: 1, ariaLabel: `${label}, dragged`});
      typed.addEventListener('change', () => T.select({[name]: Number(typed.value)}, 'replaceState'));
      bar.addEventListener('change', () => T.select({[name]: Number(bar.value)}, 'replaceState'));
      labelled(name, label, typed).append(bar);
      bar.disabled = typed.disabled = count < 2;
      shows[name] = value => { typed.value = bar.value = value ?? 0; };
    };
    const follow = () => { for (const [name, show] of Object.entries(shows)) show(T.state[name]); };
    const build = () => {
      const value = props.value;
      host.replaceChildren();
      shows = {};
      element.classList.toggle('tk-nothing', !value);
      if (!value) return;
      const list = make('select', {});
      list.append(...value.policies.map(([title, slug]) => new Option(title, slug)));
      list.addEventListener('change', () => T.select({policy: list.value}, 'replaceState'));
      labelled('policy', 'Policy in the map', list);
      shows.policy = slug => { list.value = slug ?? value.policies.at(-1)?.[1]; };
      number('layer', 'Layer', value.layers);
      number('head', 'KV head', value.heads);
      follow();
    };
    build();
    watch('value', build);
    T.bus.on('select', follow);
  };
})();
