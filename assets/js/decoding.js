// Lanes of a decoding run: each token over a bar of the model's entropy, what happened above it; the
// card of the chosen step, where every alternative is a road that can be taken.
(() => {
  const T = window.tokenarium;
  if (T.decoding) return;
  const MOST = 1 << 12, RANKS = 32, MOST_REMARKS = 200;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text ?? ''});
  const share = value => value === null || value === undefined ? '–' : value === 0 ? '0' : value >= .001 ? `${(100 * value).toPrecision(3)} %` : value.toExponential(1);
  const plain = value => value === null || value === undefined ? '–' : String(value);

  T.decoding = (element, props, watch, server) => {
    const find = name => element.querySelector(name);
    const host = find('.tk-dec-lanes'), card = find('.tk-dec-card'), range = find('input'), told = find('output'), jump = find('.tk-jump'), play = find('.tk-play');
    let value = {}, lanes = [], shown = '', timer = null, cards = new Map();

    // Lane and step are parts of the page's selection: the address, keys and Back lead here, too.
    const lane = () => Math.min(T.state.node ?? Math.max(0, lanes.length - 1), lanes.length - 1);
    const step = () => Math.min(T.state.step ?? 0, Math.max(0, (lanes[lane()]?.spans.length ?? 1) - 1));
    const go = (to, on = lane(), how = 'replaceState') => T.select({step: to, node: on}, how);

    // A number that opens what it is; a file has no server to ask.
    const opens = (tag, text, name, ...index) => {
      const cell = make(tag, '', '');
      if (T.alone || !value.run || text === '–') { cell.textContent = text; return cell; }
      const button = Object.assign(make('button', '', text), {type: 'button'});
      button.dataset.why = [name, ...index].join(' ');
      cell.append(button);
      return cell;
    };
    const saying = (tag, parts) => {
      const line = make(tag, 'tk-sub');
      line.append(...T.sentence(parts, Boolean(value.run)));
      return line;
    };
    const facts = (found, rows) => {
      const list = make('dl', 'tk-facts');
      for (const [name, text, meaning, why] of rows) {
        const term = make('dt', '', name);
        term.title = meaning;
        list.append(term, opens('dd', text, why, found.lane, found.step));
      }
      return list;
    };
    const table = found => {
      const made = make('table', 'tk-dec-table'), caption = made.createCaption(), head = made.createTHead().insertRow(), body = made.createTBody();
      caption.textContent = value.imported ? 'Likeliest tokens that the response gives.' : T.alone ? 'Likeliest tokens.' : 'Likeliest tokens. Press one: the text goes on from there.';
      for (const name of ['token', ...found.stages.map(([name]) => name)]) head.append(Object.assign(make('th', '', name), {scope: 'col'}));
      for (const one of found.alternatives) {
        const row = body.insertRow(), first = row.insertCell();
        row.className = one.taken ? 'tk-hit' : '';
        const press = make('button', 'tk-road', one.text || '∅');
        press.type = 'button';
        press.title = one.taken ? 'This one was taken' : value.imported || T.alone ? 'No model is here to go on with it' : 'Go on with this token instead';
        press.disabled = one.taken || value.imported || T.alone;
        press.addEventListener('click', () => T.bus.emit('open', (found.lane * MOST + found.step) * RANKS + one.rank));
        first.append(press);
        one.probs.forEach((p, stage) => {
          const cell = row.appendChild(opens('td', share(p), 'alternative', found.lane, found.step, stage, one.rank));
          cell.style.setProperty('--p', p ?? 0);
          cell.classList.toggle('tk-out', p === 0);
        });
      }
      const left = body.insertRow();
      left.className = 'tk-left';
      left.append(Object.assign(make('th', '', 'tokens left'), {scope: 'row'}), ...found.stages.map(([, count], stage) => opens('td', count === null ? '–' : count.toLocaleString('en'), 'left', found.lane, found.step, stage)));
      const unsure = body.insertRow();
      unsure.className = 'tk-left';
      unsure.append(Object.assign(make('th', '', 'entropy, nats'), {scope: 'row'}), ...found.stages.map(([, , nats], stage) => opens('td', nats === null ? '–' : nats.toFixed(3), 'stage_entropy', found.lane, found.step, stage)));
      const box = make('div', 'tk-dec-scroll');
      box.append(made);
      return box;
    };
    const listed = (title, items) => {
      if (!items.length) return [];
      const list = make('ul', 'tk-dec-list');
      list.append(...items);
      return [make('h4', 'tk-card-part', title), list];
    };
    const why = found => {
      if (value.imported || T.alone) return [];
      const link = Object.assign(make('a', 'tk-fork', 'Why this token?'), {href: `why?explain=${value.run}.${found.step}.${found.lane}`, title: 'Which words before it made the model expect it'});
      return [link];
    };
    const show = found => {
      const head = make('h3', 'tk-card-title');
      head.append(make('span', 'tk-big', found.text), make('span', 'tk-sub', `step ${found.step + 1}, ${found.title}`));
      const of = (text, name, one) => text === '–' ? [text] : [text, `${name} ${found.lane} ${one.at}`];
      const tried = found.tried.map(one => {
        const item = make('li', one.kept ? 'tk-hit' : '');
        item.append(make('code', '', one.text), saying('span', [
          [' ln p '], of(plain(one.log_prob), 'branch_log_prob', one),
          ...one.score === null ? [] : [[', score '], of(String(one.score), 'branch_score', one)],
          ...one.kept ? [[', '], of(String(one.kept), 'branch_kept', one), [' kept']] : [],
        ]));
        return item;
      });
      const done = found.done.map(one => {
        const item = make('li', '');
        item.title = one.meaning;
        const facts = [one.probability === null ? [] : [[' p '], of(share(one.probability), 'journal_probability', one)], one.score === null ? [] : [['score '], of(String(one.score), 'journal_score', one)], one.reason];
        item.append(make('b', '', one.action), ' ', make('code', '', one.text), saying('span', facts.filter(part => part.length).flatMap((part, at) => at ? [[', '], ...part] : part)));
        return item;
      });
      if (found.more) done.push(make('li', 'tk-sub', `and ${found.more.toLocaleString('en')} more, which the export has`));
      card.replaceChildren(head, facts(found, [
        ['entropy', `${plain(found.entropy)} nats`, 'How unsure the model is before this token, at temperature 1.', 'step_entropy'],
        ['varentropy', `${plain(found.varentropy)} nats²`, 'Variance of the surprisal: high where a few tokens compete with many.', 'step_varentropy'],
        ['probability', share(found.probability), "The model's own, at temperature 1.", 'step_probability'],
        ['after all steps', share(found.final), 'In the distribution that the token was drawn from.', 'step_final'],
        ['rank', found.rank < 0 ? '–' : String(found.rank + 1), '1 is the likeliest.', 'step_rank'],
        ['passes so far', plain(found.passes), 'Forward passes of this lane, the prompt not counted.', 'step_passes'],
      ]), ...why(found), table(found), ...listed('Tried here', tried), ...listed('What was done', done));
    };
    const describe = async () => {
      const key = `${lane()}:${step()}`;
      if (!value.run || !lanes[lane()]?.spans.length) { card.replaceChildren(make('p', 'tk-sub', lanes.length ? 'Steps open when the run is done.' : '')); shown = ''; return; }
      if (shown === key) return;
      shown = key;
      if (!cards.has(key)) {
        const found = await server.step_of({run: value.run, lane: lane(), step: step()});
        if (found?.refused) { card.replaceChildren(make('p', 'tk-sub', found.refused)); return; }
        cards.set(key, found);
      }
      if (shown === key) show(cards.get(key));
    };
    // What a strategy wrote down in words, whatever step it belongs to; a step opens on a press.
    const remarks = (each, number, count) => {
      const told = each.remarks ?? [];
      if (!told.length) return [];
      const box = make('details', 'tk-dec-log'), list = make('ul', 'tk-dec-list');
      box.append(make('summary', '', `${told.length.toLocaleString('en')} ${told.length > 1 ? 'remarks' : 'remark'} of the journal`), list);
      box.addEventListener('toggle', () => {
        if (!box.open || list.childElementCount) return;
        list.append(...told.slice(0, MOST_REMARKS).map(one => {
          const item = make('li', ''), inside = one.step < count;
          const place = make(inside ? 'button' : 'span', inside ? 'tk-road' : 'tk-sub', inside ? `step ${one.step + 1}` : 'after the text');
          if (inside) { place.type = 'button'; place.addEventListener('click', () => { stop(); go(one.step, number, 'pushState'); }); }
          item.append(place, ' ', make('b', '', one.action), ' ', saying('span', [...one.reason, [one.times > 1 ? ` (${one.times} times)` : '']]));
          return item;
        }));
        if (told.length > MOST_REMARKS) list.append(make('li', 'tk-sub', `and ${(told.length - MOST_REMARKS).toLocaleString('en')} more, which the export has`));
      });
      return [box];
    };
    const follow = () => {
      if (!lanes.length) return;
      const at = step(), on = lane();
      range.value = at;
      told.textContent = `step ${at + 1} of ${value.steps}`;
      lanes.forEach((each, number) => each.spans.forEach((span, index) => {
        span.classList.toggle('tk-at', index === at && number === on);
        span.classList.toggle('tk-same', index === at && number !== on);
      }));
      lanes.forEach(each => T.reveal(each.strip, each.spans[at]));
      describe();
    };
    const stop = () => {
      if (timer) T.settle();
      clearInterval(timer);
      timer = null;
      play.textContent = '▶';
      play.setAttribute('aria-label', 'Play');
    };
    const build = () => {
      stop();
      value = props.value ? JSON.parse(props.value) : {};
      element.classList.toggle('tk-nothing', !value.lanes);
      if (!value.lanes) { lanes = []; return; }
      cards = new Map();
      shown = '';
      find('.tk-dec-prompt').textContent = value.prompt;
      find('.tk-dec-notes').replaceChildren(...(value.notes ?? []).map(note => saying('p', note)));
      range.max = Math.max(0, value.steps - 1);
      const apart = value.lanes.map(each => each.apart).filter(each => each !== null);
      jump.disabled = !apart.length;
      jump.textContent = apart.length ? 'to the first difference' : 'no difference';
      jump.onclick = () => go(Math.min(...apart), value.lanes.findIndex(each => each.apart === Math.min(...apart)), 'pushState');
      const most = Math.max(.5, value.most);
      lanes = value.lanes.map((each, number) => {
        const box = make('section', 'tk-dec-lane'), head = make('h2', ''), strip = make('div', 'tk-dec-strip');
        head.append(make('span', '', each.title), make('span', 'tk-note', number || value.imported ? each.note : ['plain', each.note].filter(Boolean).join(' · ')));
        const spans = each.texts.map((text, index) => {
          const span = make('span', 'tk-dec-token', text);
          span.dataset.index = index;
          span.dataset.lane = number;
          const nats = each.entropy[index];
          span.title = nats === null ? 'entropy not given' : `${nats.toFixed(2)} nats`;
          span.style.setProperty('--h', (nats ?? 0) / most);
          const acts = each.lines.map(([, at]) => Math.min(1, at / most));
          if (acts.length) span.style.setProperty('--line', Math.min(...acts));
          if (acts.length > 1) span.style.setProperty('--most', Math.max(...acts));
          if (each.marks[index]) span.dataset.mark = each.marks[index];
          if (each.apart === index) span.dataset.apart = '';
          if (each.small?.includes(index)) { span.classList.add('tk-small'); span.title += ', by the small model'; }
          if (each.guessed?.includes(index)) { span.classList.add('tk-guessed'); span.title += ', guessed by the drafter'; }
          return span;
        });
        strip.append(...spans);
        strip.tabIndex = 0;
        strip.setAttribute('role', 'group');
        strip.setAttribute('aria-label', `Text by ${each.title}; press a token to see its step`);
        box.append(head, saying('p', [each.cost, each.ended ? [[each.ended]] : [], each.acts].filter(part => part.length).flatMap((part, at) => at ? [[' · '], ...part] : part)), strip, ...remarks(each, number, spans.length));
        return {box, strip, spans};
      });
      host.replaceChildren(...lanes.map(({box}) => box));
      if (!value.run) lanes.forEach(({strip}) => { strip.scrollTop = strip.scrollHeight; });
      follow();
    };
    host.addEventListener('click', event => {
      const span = event.target.closest('.tk-dec-token');
      if (span) { stop(); go(Number(span.dataset.index), Number(span.dataset.lane), 'pushState'); }
    });
    range.addEventListener('input', () => { stop(); T.select({step: Number(range.value), node: lane()}, false); });
    range.addEventListener('change', T.settle);
    play.addEventListener('click', () => {
      if (timer) { stop(); return; }
      if (step() >= value.steps - 1) T.select({step: 0, node: lane()}, false);
      play.textContent = '❚❚';
      play.setAttribute('aria-label', 'Pause');
      timer = setInterval(() => {
        if (Number(range.value) >= value.steps - 1 || step() >= lanes[lane()].spans.length - 1) { stop(); return; }
        T.select({step: step() + 1, node: lane()}, false);
      }, 300);
    });
    T.bus.on('select', follow);
    T.snapshot({
      element, name: 'decoding', title: () => 'What each strategy wrote', root: () => lanes.length ? host : null,
      rows: () => value.lanes.flatMap(each => each.texts.map((text, index) => ({strategy: each.title, step: index, token: text, entropy_nats: each.entropy[index], happened: each.marks[index] ?? ''}))),
    });
    build();
    watch('value', build);
  };
})();
