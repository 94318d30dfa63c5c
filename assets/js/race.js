// Runs side by side, each growing as fast as it really did.
(() => {
  const T = window.tokenarium;
  if (T.race) return;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text ?? ''});

  T.race = (element, props, watch) => {
    const range = element.querySelector('input'), told = element.querySelector('output'), play = element.querySelector('.tk-play');
    const speed = element.querySelector('.tk-speed'), host = element.querySelector('.tk-racers');
    let lanes = [], meta = {}, run = '', whole = 1, frame = 0, moving = false;

    const draw = share => {
      const now = share * whole;
      told.textContent = `${now.toFixed(0)} of ${whole.toFixed(0)} ms`;
      for (const lane of lanes) {
        const end = lane.ends.at(-1) ?? 0, done = share >= 1 ? lane.ends.length : lane.ends.filter(at => at <= now).length;
        const tokens = lane.upTo[done], spent = Math.min(now, end);
        lane.spans.forEach((span, index) => { span.hidden = index >= tokens; });
        lane.bar.style.width = `${100 * tokens / Math.max(1, lane.spans.length)}%`;
        const rate = done ? 1e3 * tokens / (lane.ends[done - 1] || 1) : 0;
        // While it moves the numbers change too fast to be pressed.
        const opens = done && !moving, of = (text, name, ...at) => [text, [`race_${lane.plain ? 'plain_' : ''}${name}`, ...at].join(' ')];
        lane.count.replaceChildren(...T.sentence([of(`${tokens} tokens`, 'tokens', done), [', '], of(rate.toFixed(0), 'rate', done), [' a second, '], of((tokens / Math.max(1, done)).toFixed(2), 'pass', done), [' a pass']], opens, lane.run));
        lane.place.replaceChildren(...done === lane.ends.length ? T.sentence([[`${lane.rank}. after `], of(`${end.toFixed(0)} ms`, 'ms')], opens, lane.run) : []);
        lane.strip.scrollTop = spent < end ? lane.strip.scrollHeight : lane.strip.scrollTop;
      }
    };
    const stop = () => { cancelAnimationFrame(frame); moving = false; if (lanes.length) draw(Number(range.value) / 1000); play.textContent = '▶'; play.setAttribute('aria-label', 'Play'); };
    const start = () => {
      if (Number(range.value) >= 1000) range.value = 0;
      moving = true;
      play.textContent = '❚❚';
      play.setAttribute('aria-label', 'Pause');
      let before = null, at = Number(range.value) / 1000 * whole;
      const step = time => {
        if (!moving || !element.isConnected) return;
        at += (before === null ? 0 : time - before) * Number(speed.value);
        before = time;
        range.value = Math.min(1000, 1000 * at / whole);
        draw(Math.min(1, at / whole));
        if (at >= whole) stop(); else frame = requestAnimationFrame(step);
      };
      frame = requestAnimationFrame(step);
    };
    const build = () => {
      stop();
      const value = props.value ? JSON.parse(props.value) : {};
      element.classList.toggle('tk-nothing', !value.lanes?.length);
      ({meta = {}, run = ''} = value);
      if (!value.lanes?.length) { lanes = []; host.textContent = ''; return; }
      const ends = value.lanes.map(lane => lane.ends.at(-1) ?? 0), order = [...ends].sort((one, other) => one - other);
      whole = Math.max(1e-6, ...ends);
      host.textContent = '';
      lanes = value.lanes.map((lane, index) => {
        const box = make('section', 'tk-racer'), head = make('h3', ''), track = make('div', 'tk-track'), strip = make('div', 'tk-lane-strip');
        const place = make('span', 'tk-place'), count = make('p', 'tk-sub');
        head.append(make('span', '', lane.title), make('span', 'tk-note', lane.note), place);
        const bar = track.appendChild(make('i', ''));
        const spans = lane.texts.map((text, token) => make('span', `tk-mark tk-m-${lane.marks[token]}`, text));
        strip.append(...spans);
        strip.tabIndex = 0;
        strip.setAttribute('role', 'group');
        strip.setAttribute('aria-label', `Text by ${lane.title}`);
        box.append(head, track, count, strip);
        host.appendChild(box);
        const upTo = lane.counts.reduce((sums, more) => [...sums, sums.at(-1) + more], [0]);
        return {...lane, upTo, spans, bar, strip, count, place, rank: order.indexOf(ends[index]) + 1};
      });
      range.value = 1000;
      draw(1);
    };
    // A row for every token: in which lane, after what time, and what became of the guess.
    const rows = () => lanes.flatMap(lane => lane.texts.map((text, token) => {
      const round = lane.upTo.findIndex(sum => sum > token) - 1;
      return {lane: lane.title, note: lane.note, token, text, fate: lane.marks[token], round, 'time (ms)': lane.ends[round]};
    }));
    T.snapshot({element, name: 'race', title: () => 'Race', root: () => lanes.length ? host : null, rows, of: () => ({meta, run})});
    range.addEventListener('input', () => { stop(); draw(Number(range.value) / 1000); });
    play.addEventListener('click', () => { if (moving) stop(); else start(); });
    build();
    watch('value', build);
  };
})();
