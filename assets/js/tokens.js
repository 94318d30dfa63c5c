// The Tokens page: a form, the strip, counts, and views that ask when they are opened.
(() => {
  const T = window.tokenarium;
  if (T.cuts) return;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name ?? '', textContent: text ?? ''});
  const VIEWS = [['languages', 'By language'], ['score', 'What a cut costs a model'], ['byte', 'Next byte'], ['letters', 'Letters'], ['merges', 'Merges'], ['train', 'Train one'], ['added', 'New tokens'], ['extended', 'Another language'], ['sizes', 'Vocabulary size'], ['mixture', 'Training text'], ['domain', 'Domain and noise'], ['turkish', 'Turkish'], ['steps', 'How they work']];
  const LONGEST_ADDRESS = 1200, POLL_MS = 700, MOST = 4;
  const label = (text, control, name) => { const box = make('label', `tk-cuts-field ${name ?? ''}`, ''); box.append(make('span', '', text), control); control.setAttribute('aria-label', text); return box; };
  const picked = (entries, chosen) => {
    const list = make('select');
    for (const [value, text] of entries) list.appendChild(Object.assign(make('option', '', text), {value}));
    list.value = chosen;
    return list;
  };
  const pressed = (text, act) => { const button = make('button', 'tk-cuts-press', text); button.type = 'button'; button.addEventListener('click', act); return button; };
  const input = (type, value, more) => Object.assign(make('input'), {type, value, ...more});

  T.cuts = (element, props, watch, trigger) => {
    const root = element.querySelector('.tk-cuts');
    const query = () => new URL(location.href).searchParams;
    let number = 0, waiting = new Map(), sent = null, later = 0, state = {with: query().get('with')?.split(',').filter(Boolean) ?? [], text: query().get('text') ?? '', run: query().get('run') ?? ''};

    // One question at a time; a newer one of a kind takes the place of one that waits.
    const send = () => {
      if (sent || !waiting.size) return;
      const [kind, asked] = waiting.entries().next().value;
      waiting.delete(kind);
      sent = {...asked, do: kind, with: state.with, text: state.text, visitor: T.visitor, number: ++number};
      element.setAttribute('aria-busy', 'true');
      props.value = sent;
      trigger('ask');
    };
    const ask = (kind, asked = {}) => { waiting.delete(kind); waiting.set(kind, asked); send(); };
    const address = () => {
      const url = new URL(location.href), put = (key, value) => { if (value) url.searchParams.set(key, value); else url.searchParams.delete(key); };
      put('with', state.own ? state.with.filter(name => !name.startsWith('given/')).join(',') : '');
      put('text', state.typed && state.text.length <= LONGEST_ADDRESS ? state.text : '');
      put('view', state.view === 'languages' ? '' : state.view);
      put('run', state.view === 'added' ? state.run : '');
      history.replaceState({}, '', url.href.replaceAll('%2C', ','));
    };

    // What is saved: all of the text, and tokenizers of the visitor's own, which no address has.
    T.whatIsSaved = () => String(new URLSearchParams({with: state.with.join(','), text: state.text}));

    // The form.
    const area = Object.assign(make('textarea'), {rows: 3, maxLength: 4000, spellcheck: false, dir: 'auto'});
    const form = root.appendChild(make('div', 'tk-cuts-form tk-part'));
    form.append(label('Text', area, 'tk-cuts-text'));
    const chips = form.appendChild(make('div', 'tk-cuts-chips'));
    const trouble = root.appendChild(make('p', 'tk-status tk-error'));
    trouble.setAttribute('role', 'alert');
    trouble.hidden = true;
    const said = root.appendChild(make('p', 'tk-sentence tk-part'));
    said.id = 'cuts-said';
    said.setAttribute('aria-live', 'polite');
    const draw = T.cutStrip(root.appendChild(Object.assign(make('div', 'tk-cuts-strip tk-part'), {id: 'cuts-strip'})));
    const counts = root.appendChild(Object.assign(make('div', 'tk-part'), {id: 'cuts-counts'}));
    const tabs = root.appendChild(make('div', 'tk-cuts-tabs tk-part')), panel = root.appendChild(make('div', 'tk-cuts-panel tk-part'));
    tabs.setAttribute('role', 'tablist');
    panel.setAttribute('role', 'tabpanel');
    panel.id = 'cuts-panel';
    const file = Object.assign(input('file', ''), {accept: '.json,application/json', hidden: true});
    form.appendChild(file);
    file.addEventListener('change', async () => {
      const [one] = file.files;
      if (one) ask('give', {state: await one.text(), title: one.name});
      file.value = '';
    });
    const use = names => { state.with = names; state.own = true; address(); refresh(); };
    const add = name => { if (name && !state.with.includes(name) && state.with.length < MOST) use([...state.with, name]); };
    const more = value => {
      const left = Object.entries(value.offered).filter(([name]) => !state.with.includes(name));
      const list = picked([['', 'Add a tokenizer'], ...left, ['file', 'A tokenizer.json of yours'], ['name', 'Another model, folder or file']], '');
      list.setAttribute('aria-label', 'Add a tokenizer');
      list.addEventListener('change', () => {
        if (list.value === 'file') { list.value = ''; file.click(); return; }
        if (list.value !== 'name') { add(list.value); return; }
        const typed = input('text', '', {placeholder: 'openai-community/gpt2, or a path such as /data/cl100k_base.tiktoken'});
        typed.setAttribute('aria-label', 'Name of a model, or path of a folder, tokenizer.json or .tiktoken file');
        typed.addEventListener('keydown', event => { if (event.key === 'Enter') { event.preventDefault(); add(typed.value.trim()); } });
        list.replaceWith(typed, pressed('Add', () => add(typed.value.trim())));
        typed.focus();
      });
      return list;
    };
    const chipsOf = value => {
      chips.replaceChildren(...value.strip.rows.map(({title, name, tokens}, row) => {
        const chip = make('span', 'tk-cuts-chip');
        chip.style.setProperty('--lane', `var(--tk-lane-${row})`);
        chip.append(make('i'), make('span', '', `${title}:`), T.number(tokens.length.toLocaleString('en'), `tokens ${row}`, value.of));
        if (value.strip.rows.length > 1) {
          const off = pressed('×', () => use(state.with.filter(each => each !== name)));
          off.setAttribute('aria-label', `Leave out ${title}`);
          chip.appendChild(off);
        }
        return chip;
      }));
      if (state.with.length < MOST) chips.appendChild(more(value));
    };

    // The views below.
    const views = T.tokenViews({panel, ask, add, ran: run => { state.run = run; address(); }, state: () => state, make, label, picked, pressed, input, poll: POLL_MS});
    const open = (name, focus) => {
      state.view = name;
      for (const tab of tabs.children) {
        tab.setAttribute('aria-selected', String(tab.dataset.view === name));
        tab.tabIndex = tab.dataset.view === name ? 0 : -1;
        if (focus && tab.dataset.view === name) tab.focus();
      }
      panel.setAttribute('aria-label', VIEWS.find(([each]) => each === name)[1]);
      address();
      views.open(name);
    };
    VIEWS.forEach(([name, title], at) => {
      const tab = tabs.appendChild(pressed(title, () => open(name)));
      tab.setAttribute('role', 'tab');
      tab.setAttribute('aria-controls', 'cuts-panel');
      tab.dataset.view = name;
      tab.addEventListener('keydown', event => {
        const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
        if (step) { event.preventDefault(); open(VIEWS[(at + step + VIEWS.length) % VIEWS.length][0], true); }
      });
    });

    const refresh = () => { ask('cut'); views.stale(); };
    area.addEventListener('input', () => {
      clearTimeout(later);
      later = setTimeout(() => { state.text = area.value; state.typed = true; address(); refresh(); }, 300);
    });
    const scroll = () => element.querySelectorAll('.tk-table').forEach(box => T.scrolls(box, T.captionOf(box.querySelector('table'))));
    const show = value => {
      trouble.hidden = !value.error || !['cut', 'give'].includes(value.do);
      trouble.textContent = value.error ?? '';
      if (value.do === 'give' && value.name) { add(value.name); return; }
      if (value.do !== 'cut') { views.show(value); return; }
      if (value.error) return;
      if (!area.value) area.placeholder = value.text; // what is counted where the box was emptied
      if (!state.typed && document.activeElement !== area) area.value = value.text;
      state = {...state, text: state.text || value.text, with: value.with, steps: value.steps};
      said.dataset.run = value.of;
      said.innerHTML = value.said;
      draw(value.strip, value.of);
      chipsOf(value);
      counts.innerHTML = value.counts;
      if (!state.view) open(VIEWS.some(([name]) => name === query().get('view')) ? query().get('view') : state.run ? 'added' : 'languages');
      else if (state.view === 'steps') views.open('steps');
      T.pressed.arrived();
    };
    new ResizeObserver(scroll).observe(element);
    watch('value', () => {
      const value = props.value;
      if (!value?.answer || !sent || value.number !== sent.number) return;
      sent = null;
      element.removeAttribute('aria-busy');
      show(value);
      scroll();
      send();
    });
    if (state.text) { area.value = state.text; state.typed = true; }
    state.own = state.with.length > 0;
    ask('cut');
  };
})();
