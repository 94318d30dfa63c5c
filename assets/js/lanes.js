// Policies side by side: the same text under each, with what it has dropped by the chosen step.
(() => {
  const T = window.tokenarium;
  if (T.lanes) return;

  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const shorts = text => new Int16Array(bytes(text).buffer);
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text ?? ''});

  T.lanes = (element, props, watch) => {
    const range = element.querySelector('input'), told = element.querySelector('output');
    const play = element.querySelector('.tk-play'), host = element.querySelector('.tk-lanes');
    const jump = element.querySelector('.tk-jump');
    let lanes = [], prompt = 0, last = 0, timer = null, titles = {}, apart = null;

    // Why an entry is where it is; as backend/eviction/kinds.py.
    const kindOf = (lane, index, step, chosen, bits) => {
      const gone = lane.gone[index];
      if (gone >= 0 && gone <= step) return 'evicted';
      if (!chosen || bits && !(bits[index >> 3] >> (7 - index % 8) & 1)) return 'kept';
      if (index < lane.first) return 'sink';
      return index >= prompt + step - lane.newest ? 'recent' : lane.rest;
    };

    const draw = step => {
      told.textContent = step === 0 ? 'after the prompt' : `step ${step} of ${last}`;
      for (const lane of lanes) {
        let held = 0, read = 0;
        const absent = lane.gone[0] < -1;
        const bits = lane.selected.get(step), chosen = lane.chosenFrom <= step || !!bits;
        lane.spans.forEach((span, index) => {
          const next = index === prompt + step, here = !absent && index < prompt + step, kind = here ? kindOf(lane, index, step, chosen, bits) : '';
          const dropped = kind === 'evicted';
          if (here && !dropped) held += 1;
          if (bits && here && kind !== 'kept') read += 1;
          span.className = `tk-entry${here ? ` tk-k-${kind}` : next ? ' tk-next' : ' tk-ahead'}${dropped ? ' tk-gone' : ''}${bits && kind === 'kept' ? ' tk-unread' : ''}${lane.gone[index] === step && here ? ' tk-now' : ''}${index >= prompt ? ' tk-made' : ''}`;
          span.title = here ? titles[kind] : next ? 'written at this step' : '';
        });
        const end = lane.spans[Math.min(prompt + step, lane.spans.length - 1)];
        if (end) lane.strip.scrollTop = end.offsetTop - lane.strip.offsetTop - lane.strip.clientHeight + 2 * end.offsetHeight;
        const place = `${lane.number} ${T.state.layer ?? 0} ${T.state.head ?? 0} ${step}`;
        const counted = [['holds '], [String(held), `held ${place}`], ...bits ? [[', reads '], [String(read), `read_of ${place}`]] : [], [' of '], [`${prompt + step} tokens`, `seen ${step}`]];
        lane.count.replaceChildren(...T.sentence(absent ? [['nothing: the layer has no such key-value head']] : counted, Boolean(T.state.run)));
      }
    };
    // The step is a part of the page's selection: figures follow at once, Python when it rests.
    const here = () => Math.min(Number(T.state.step ?? 0), last);
    const follow = () => { range.value = here(); if (lanes.length) draw(here()); };
    const go = step => T.select({step}, false);
    const stop = () => {
      if (timer) T.settle();
      clearInterval(timer);
      timer = null;
      play.textContent = '▶';
      play.setAttribute('aria-label', 'Play');
    };

    const build = () => {
      stop();
      const value = props.value || {};
      host.textContent = '';
      element.classList.toggle('tk-nothing', !value.lanes);
      if (!value.lanes) { lanes = []; return; }
      ({prompt, titles} = value);
      last = Math.max(0, value.steps - 1);
      range.max = last;
      const differing = value.lanes.flatMap(lane => lane.apart);
      apart = differing.length ? Math.min(...differing) : null;
      jump.disabled = apart === null;
      jump.textContent = apart === null ? 'no difference' : 'to the first difference';
      lanes = value.lanes.map((lane, number) => {
        const box = make('section', 'tk-lane'), head = make('h2', ''), strip = make('div', 'tk-lane-strip');
        head.append(make('span', '', lane.title), make('span', 'tk-note', lane.label));
        const count = head.appendChild(make('span', 'tk-sub'));
        box.append(head, strip);
        const texts = [...value.texts, ...lane.texts];
        const spans = texts.map((text, index) => {
          const span = make('span', 'tk-entry', text);
          span.dataset.index = index;
          return span;
        });
        strip.append(...spans);
        strip.tabIndex = 0;
        strip.setAttribute('role', 'group');
        strip.setAttribute('aria-label', `Tokens under ${lane.title}`);
        strip.dataset.density = texts.length > 600 ? 'compact' : 'comfortable';
        lane.apart.forEach(step => spans[prompt + step]?.setAttribute('data-apart', ''));
        host.appendChild(box);
        const gone = shorts(lane.gone), dropped = gone.filter(step => step >= 0);
        const selected = new Map(lane.selected.map(([step, bits]) => [step, bytes(bits)]));
        return {...lane, number, spans, strip, count, gone, selected, chosenFrom: dropped.length ? dropped.reduce((a, b) => Math.min(a, b)) : Infinity};
      });
      follow();
    };

    range.addEventListener('input', () => { stop(); go(Number(range.value)); });
    range.addEventListener('change', T.settle);
    jump.addEventListener('click', () => { stop(); T.select({step: apart}); });
    T.bus.on('select', follow);
    play.addEventListener('click', () => {
      if (timer) { stop(); return; }
      if (Number(range.value) >= last) go(0);
      play.textContent = '❚❚';
      play.setAttribute('aria-label', 'Pause');
      timer = setInterval(() => {
        if (Number(range.value) >= last) { stop(); return; }
        go(Number(range.value) + 1);
      }, 160);
    });
    host.addEventListener('mouseover', event => {
      const span = event.target.closest('.tk-entry');
      if (!span) return;
      const index = span.dataset.index;
      host.querySelectorAll('.tk-entry.tk-hover').forEach(e => e.classList.remove('tk-hover'));
      for (const lane of lanes) lane.spans[index]?.classList.add('tk-hover');
    });
    T.snapshot({
      element, name: 'lanes', title: () => `What each policy keeps, step ${here()}`, root: () => lanes.length ? host : null,
      rows: () => lanes.flatMap(lane => lane.spans.map((span, token) => ({policy: lane.title, step: here(), token, text: span.textContent, state: span.className.match(/tk-k-(\w+)/)?.[1] ?? (span.classList.contains('tk-next') ? 'next' : '')})).filter(({state}) => state)),
    });
    build();
    watch('value', build);
  };
})();
