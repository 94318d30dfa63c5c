// Parameters of what was chosen, drawn from their declarations; every value is known by its name.
(() => {
  const T = window.tokenarium;
  if (T.form) return;
  const make = (tag, name, more = {}) => Object.assign(document.createElement(tag), {className: name, ...more});
  let made = 0;

  const inputs = {
    check: (field, set) => {
      const box = make('input', '', {type: 'checkbox', checked: Boolean(field.value)});
      box.addEventListener('change', () => set(box.checked));
      return {parts: [box], show: value => { box.checked = Boolean(value); }};
    },
    choice: (field, set) => {
      const list = make('select', '');
      list.append(...field.choices.map(choice => new Option(choice, choice, false, choice === field.value)));
      list.addEventListener('change', () => set(list.value));
      return {parts: [list], show: value => { list.value = value; }};
    },
    text: (field, set) => {
      const line = make('input', '', {type: 'text', value: field.value ?? ''});
      line.addEventListener('change', () => set(line.value));
      return {parts: [line], show: value => { line.value = value ?? ''; }};
    },
    number: (field, set) => {
      const line = make('input', '', {type: 'number', value: field.value ?? '', step: field.step, placeholder: field.optional ? 'left open' : ''});
      for (const end of ['min', 'max']) if (Number.isFinite(field[end])) line[end] = field[end];
      line.addEventListener('change', () => set(line.value === '' ? null : Number(line.value)));
      return {parts: [line], show: value => { line.value = value ?? ''; }};
    },
    range: (field, set) => {
      const typed = inputs.number({...field, step: 'any'}, value => { bar.value = value; set(value); });
      const bar = make('input', '', {type: 'range', min: field.min, max: field.max, step: field.step, value: field.value, ariaLabel: `${field.label}, dragged`});
      bar.addEventListener('input', () => { typed.parts[0].value = bar.value; });
      bar.addEventListener('change', () => set(Number(bar.value)));
      return {parts: [...typed.parts, bar], show: value => { typed.show(value); bar.value = value; }};
    },
  };

  T.form = (element, props, watch, edited) => {
    const host = element.querySelector('.tk-form');
    let groups = [], drawn = '';
    const tell = () => { drawn = JSON.stringify(groups); props.value = {groups: JSON.parse(drawn)}; edited(); };
    // Other fields for another choice; what was typed while the answer was on its way stays.
    const kept = told => {
      const own = new Map(groups.flatMap(group => group.fields.map(field => [`${group.slug} ${field.name}`, field.value])));
      for (const group of told) for (const field of group.fields) {
        const name = `${group.slug} ${field.name}`;
        if (own.has(name)) field.value = own.get(name);
      }
      return told;
    };
    const draw = () => {
      const found = JSON.stringify(props.value?.groups ?? []);
      if (found === drawn) return;
      groups = props.value?.keeps ? kept(JSON.parse(found)) : JSON.parse(found);
      drawn = JSON.stringify(groups);
      host.replaceChildren(...groups.map(group => {
        const box = make('fieldset', 'tk-method'), shows = {};
        if (group.title) {
          const head = box.appendChild(make('legend', '', {textContent: group.title}));
          if (group.note) head.append(make('span', 'tk-note', {textContent: group.note}));
        }
        if (group.text) box.append(make('p', 'tk-sub', {textContent: group.text}));
        const grid = box.appendChild(make('div', 'tk-fields'));
        for (const field of group.fields) {
          const line = grid.appendChild(make('div', `tk-field tk-field-${field.type}`));
          const {parts, show} = inputs[field.type](field, value => { field.value = value; tell(); });
          parts[0].id = `tk-field-${made++}`;
          parts[0].dataset.name = field.name;
          const label = make('label', '', {htmlFor: parts[0].id, textContent: field.label, title: field.info});
          line.append(label, ...parts, make('small', '', {textContent: field.info}));
          shows[field.name] = value => { field.value = value; show(value); };
        }
        const buttons = Object.entries(group.presets ?? {}).map(([said, values]) => {
          const button = make('button', '', {type: 'button', textContent: said});
          button.addEventListener('click', () => { for (const [name, value] of Object.entries(values)) shows[name]?.(value); tell(); });
          return button;
        });
        if (buttons.length) box.appendChild(make('div', 'tk-presets')).append(...buttons);
        return box;
      }));
      if (drawn !== found) tell();
    };
    draw();
    watch('value', draw);
  };
})();
