// A run that guesses ahead: the text with marked tokens, the strip of rounds, the tree of the chosen
// round, judged by the rule of the run or by another, and the card of the chosen node.
(() => {
  const T = window.tokenarium;
  if (T.speculation) return;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text ?? ''});
  const ROWS = [
    ['width', round => round.width, 'most guesses beside one another'],
    ['depth', round => round.depth, 'most guesses after one another'],
    ['accepted', round => round.accepted_len, 'guesses that stayed; the token that follows is not counted'],
    ['ms', round => round.draft + round.verify + round.other, 'time of the round: drafting, verifying, the rest'],
  ];
  const share = value => value === null || value === undefined ? '–' : value === 0 ? '0' : value >= .001 ? `${(100 * value).toPrecision(3)} %` : value.toExponential(1);
  const plain = value => value === null || value === undefined ? '–' : String(value);

  T.speculation = (element, props, watch, server) => {
    const find = name => element.querySelector(name);
    const said = find('.tk-said'), rounds = find('.tk-rounds'), judge = find('.tk-judge'), card = find('.tk-node-card');
    const title = find('.tk-tree-head h2'), outcome = find('.tk-outcome'), host = find('.tk-tree');
    let value = {}, tree = null, node = 0, wanted = -1, trees = new Map();
    // Round and node are a part of the page's selection: the address, keys and Back lead here, too.
    const drawing = T.tree(host, index => T.select({round: tree.round, node: index}, 'replaceState'));
    const jump = find('.tk-jump');

    const other = () => tree?.others.find(each => each.rule === judge.value && !each.own);
    const view = () => {
      const found = other();
      const nodes = tree.nodes.map(each => ({...each}));
      if (!found) return {nodes, fates: nodes.map(each => each.status), signs: value.signs, names: value.names};
      const last = nodes.length - 1;
      Object.assign(nodes[last], {parent: found.end, depth: nodes[found.end].depth + 1, text: found.said.at(-1), q_raw: null});
      return {nodes, fates: [...found.fates, found.ending], signs: value.signs, names: value.names};
    };
    // Texts and numbers; those of a run that goes on open nothing yet.
    const saying = (tag, name, parts) => {
      const made = make(tag, name);
      made.append(...T.sentence(parts.map(([text, why]) => text === '–' ? [text] : [text, why]), Boolean(value.run)));
      return made;
    };
    const listed = texts => texts.map(text => `“${text}”`).join(' ');
    const describe = () => {
      const found = other(), round = value.rounds[tree.round];
      const said = tree.nodes.filter(each => ['accepted', 'bonus', 'residual_resample', 'cut'].includes(each.status)).map(each => each.text);
      title.textContent = `Round ${tree.round + 1} of ${value.rounds.length}`;
      const of = (text, name) => [String(text), `${name} ${tree.round}`];
      const words = [[of(round.verified, 'round_verified'), [' guesses checked in one pass of '], of(`${round.verify.toFixed(1)} ms`, 'round_verify_ms'), [': '], of(round.accepted_len, 'round_accepted_len'), [` accepted. Added: ${listed(said)}`]]];
      if (found) words.push([[`By ${found.title} it would have been `], [String(found.said.length - 1), `replayed ${found.number} ${tree.round}`], [` accepted, adding: ${listed(found.said)}`]]);
      outcome.replaceChildren(...words.map(parts => saying('span', '', parts)));
    };
    // Where nothing was chosen, the first guess that stayed, or the first one.
    const usual = () => Math.max(tree.nodes.findIndex(each => each.status === 'accepted'), Math.min(1, tree.nodes.length - 1));
    const redraw = () => { drawing.draw(view()); describe(); choose(node ?? usual()); };

    // The token itself is listed too where it is not among the first choices.
    // Of what the large model would say, each token is a road: the page that writes on is an address away.
    const forked = (code, node, rank) => {
      if (!T.open || !value.run) return code;
      const link = Object.assign(make('a', 'tk-fork'), {href: `decode?branch=${value.run}.${tree.first + node}.${rank}`, title: 'Let the large model write on from here with this token'});
      link.append(code);
      return link;
    };
    const bars = (heading, whose, probs, hit, own, from, node = -1) => {
      const place = tree.first + from;
      const known = own === null || own === undefined || probs.some(([text]) => text === hit);
      const choices = known || !probs.length ? probs : [...probs, [hit, own]];
      const list = make('ol', 'tk-bars');
      choices.forEach(([text, p], rank) => {
        const item = list.appendChild(make('li', text === hit ? 'tk-hit' : '')), code = make('code', '', text);
        item.append(Object.assign(make('span', 'tk-bar'), {style: `width:${100 * p}%`}), node < 0 || rank >= probs.length ? code : forked(code, node, rank), saying('data', '', [[share(p), rank < probs.length ? `${whose} ${place} ${rank}` : `node_${whose === 'draft_top' ? 'q' : 'p'}_raw ${tree.first + Number(host.dataset.chosen)}`]]));
      });
      const box = make('div', '');
      box.append(make('h4', 'tk-card-part', heading), choices.length ? list : make('p', 'tk-sub', 'no distribution: it does not come from a model'));
      return box;
    };
    const facts = rows => {
      const list = make('dl', 'tk-facts');
      for (const [name, parts, meaning] of rows) {
        const term = make('dt', '', name);
        term.title = meaning;
        list.append(term, saying('dd', '', parts));
      }
      return list;
    };
    const choose = wished => {
      const index = Math.min(wished, tree.nodes.length - 1);
      host.dataset.chosen = index;
      const shown = view(), one = shown.nodes[index], fate = shown.fates[index], from = tree.nodes[one.parent];
      drawing.mark(index);
      said.querySelectorAll('.tk-at').forEach(span => span.classList.remove('tk-at'));
      const place = value.node_of.findIndex((at, token) => at === index && value.round_of[token] === tree.round);
      if (place >= 0) said.children[place + 1]?.classList.add('tk-at');
      const head = make('h3', 'tk-card-title'), badge = make('span', `tk-fate tk-f-${fate}`);
      badge.append(make('i', '', value.signs[fate]), value.names[fate]);
      head.append(make('span', 'tk-big', one.text), badge);
      const parts = [head], here = tree.first + index, of = (text, name) => [text, `node_${name} ${here}`];
      if (!other() || one.parent < 0) parts.push(saying('p', 'tk-why', one.why));
      else parts.push(make('p', 'tk-why', `In the run: ${value.names[tree.nodes[index].status]}. Judged by ${other().title}: ${value.names[fate]}.`));
      if (one.order >= 0) parts.push(facts([
        ['small model', [of(share(one.q_raw), 'q_raw')], 'Probability by the draft after what stands before it.'],
        ['large model', [of(share(one.p_raw), 'p_raw')], 'Probability by the target after what stands before it.'],
        ...one.again === undefined ? [] : [
          ['large model again', [[share(one.again), `second_prob ${here}`]], 'Probability by the target in its second reading, which follows the draft and asks to correct it.'],
          ['mean of both', [of(share(one.p_used), 'p_used')], 'What the rule makes of both readings of the large model, and tests the guess by.'],
        ],
        ['at its turn', [of(share(one.q_used), 'q_used'), [' / '], of(share(one.p_used), 'p_used')], 'The same two, small / large, once its elder siblings have failed.'],
        ['accepted with', [of(share(one.accept_prob), 'accept')], 'Probability that the rule accepts it at its turn.'],
        ['number drawn', [of(plain(one.u), 'u')], 'It is accepted if this is below the probability; rules that draw one token look for it instead.'],
        ['tested with', [of(share(one.p_reach), 'reach')], 'Probability that the rule comes to test it, given this tree.'],
        ['stays with', [of(share(one.p_accept_path), 'stays')], 'Probability that it and everything above it are accepted.'],
        ['expected', [of(share(one.est_value), 'expected')], 'What the drafter expected of it.'],
        ['its rank', [of(String(one.rank + 1), 'rank'), [' / '], of(String(one.choice + 1), 'choice')], 'Place among its siblings by the small model / among all tokens by the large one.'],
        ...one.source ? [['guessed by', [[one.source]], 'Where the guess comes from.']] : [],
      ]));
      else if (one.parent >= 0 && !other()) parts.push(facts([
        ['large model', [of(share(one.p_raw), 'p_raw')], 'Probability by the target after what stands before it.'],
        ['in what was left', [of(share(one.p_used), 'p_used')], 'Probability in the distribution that it was really drawn from.'],
      ]));
      if (from) {
        const sides = make('div', 'tk-expect'), small = bars('Small model', 'draft_top', from.draft, one.text, one.q_raw, one.parent);
        const large = title => bars(title, 'target_top', from.target, one.text, one.p_raw, one.parent, one.parent);
        // What the large model said before it had read the draft, beside what it says when asked to correct it.
        const twice = from.second?.length, readings = make('div', 'tk-expect tk-readings');
        if (twice) readings.append(large('Large model, first'), bars('asked to correct', 'second_top', from.second, one.text, one.again, one.parent));
        sides.append(small, ...twice ? [] : [large('Large model')]);
        parts.push(make('h4', 'tk-card-part tk-after', `After “${from.text}”`), ...twice ? [readings] : [], sides, facts(distributions(from, one.parent)));
      }
      if (one.target_entropy !== null && index < tree.nodes.length - 1) parts.push(make('h4', 'tk-card-part tk-after', 'After this token'), facts(distributions(one, index)));
      card.replaceChildren(...parts);
      T.speculating = {round: tree.round, node: index};
    };
    const distributions = (one, index) => [
      ...one.second?.length ? [['both readings', [[share(one.again_overlap), `second_overlap ${tree.first + index}`]], 'Sum of the smaller of both probabilities: how much of what the large model says it says again when asked to correct the draft.']] : [],
      ['entropy', [[plain(one.draft_entropy), `node_draft_entropy ${tree.first + index}`], [' / '], [plain(one.target_entropy), `node_target_entropy ${tree.first + index}`], [' nats']], 'How unsure the small / the large model is.'],
      ['divergence', [[plain(one.kl_nats), `node_kl ${tree.first + index}`], [' nats']], 'KL(large || small): how far apart their distributions are.'],
      ['overlap', [[share(one.tv_overlap), `node_overlap ${tree.first + index}`]], 'Sum of the smaller of both probabilities: the chance that one drawn guess is accepted.'],
    ];

    // With a line of what stands before it.
    const inSight = span => {
      if (!span) return;
      const box = said.getBoundingClientRect(), at = span.getBoundingClientRect(), line = 1.5 * at.height;
      if (at.top < box.top + line || at.bottom > box.bottom) said.scrollTop += at.top - box.top - line;
    };
    const show = found => {
      tree = found;
      const kept = judge.value;
      judge.replaceChildren(new Option(`${value.rule} (this run)`, ''), ...found.others.filter(each => !each.own).map(each => new Option(each.title, each.rule)));
      judge.value = found.others.some(each => each.rule === kept && !each.own) ? kept : '';
      judge.disabled = judge.options.length < 2;
      judge.title = judge.disabled ? 'No other rule is right for these guesses at this temperature.' : '';
      rounds.querySelectorAll('.tk-round').forEach((column, index) => column.classList.toggle('tk-chosen', index === found.round));
      T.reveal(rounds, rounds.children[0]?.children[found.round + 1]);
      rounds.setAttribute('aria-valuenow', found.round + 1);
      rounds.setAttribute('aria-valuetext', rounds.querySelectorAll('.tk-round')[found.round]?.title ?? '');
      [...said.children].forEach((span, at) => span.classList.toggle('tk-same', value.round_of[at - 1] === found.round));
      inSight(said.querySelector('.tk-same'));
      redraw();
    };
    const go = (number, at = null, how = 'replaceState') => {
      if (number >= 0 && number < value.rounds.length) T.select({round: number, node: at}, how);
    };
    // Another run may be chosen before it has come.
    const follow = async () => {
      if (!value.rounds?.length || value.run !== (T.state.run ?? null)) return;
      const newest = value.rounds.length - 1, number = Math.min(T.state.round ?? (value.run ? 0 : newest), newest);
      wanted = number;
      node = T.state.node ?? null;
      if (tree?.round === number) { choose(node ?? usual()); return; }
      if (!trees.has(number)) {
        if (!value.run) { outcome.textContent = 'Other rounds open when the run is done.'; return; }
        const found = await server.tree_of({run: value.run, round: number});
        if (found?.refused) { outcome.textContent = found.refused; return; }
        trees.set(found.round, found);
      }
      if (wanted === number) show(trees.get(number));
    };

    const strip = () => {
      const grid = make('div', 'tk-round-grid'), names = make('div', 'tk-round-names');
      for (const [name, , meaning] of ROWS) names.appendChild(Object.assign(make('span', '', name), {title: meaning}));
      const most = ROWS.map(([, number]) => Math.max(1e-9, ...value.rounds.map(number)));
      grid.append(names, ...value.rounds.map((round, index) => {
        // A part of the slider, not a control of its own.
        const column = make('span', 'tk-round');
        column.dataset.round = index;
        column.title = `round ${index + 1}: ${round.verified} guesses, ${round.accepted_len} accepted, ${(round.draft + round.verify + round.other).toFixed(1)} ms`;
        ROWS.forEach(([name, number], row) => {
          const cell = column.appendChild(make('span', `tk-cell tk-${name}`)), bar = cell.appendChild(make('i', ''));
          bar.style.height = `${100 * number(round) / most[row]}%`;
          if (name !== 'ms') return;
          const total = number(round) || 1, cuts = [round.draft / total, (round.draft + round.verify) / total].map(part => `${100 * part}%`);
          bar.style.background = `linear-gradient(to top, #94a3b8 0 ${cuts[0]}, #3b82f6 ${cuts[0]} ${cuts[1]}, #d97706 ${cuts[1]})`;
        });
        return column;
      }));
      rounds.replaceChildren(grid);
      rounds.setAttribute('aria-valuemax', value.rounds.length);
    };
    const build = () => {
      value = props.value ? JSON.parse(props.value) : {};
      element.classList.toggle('tk-nothing', !value.rounds);
      if (!value.rounds) return;
      trees = new Map(value.tree ? [[value.tree.round, value.tree]] : []);
      said.replaceChildren(make('span', 'tk-prompt', value.prompt), ...value.texts.map((text, index) => {
        const span = make('span', `tk-mark tk-m-${value.marks[index]}`, text);
        span.dataset.token = index;
        return span;
      }));
      strip();
      if (!value.run) said.scrollTop = said.scrollHeight;
      node = null;
      const wrong = value.marks.indexOf('residual_resample');
      jump.disabled = wrong < 0;
      jump.textContent = wrong < 0 ? 'no wrong guess' : 'to the first wrong guess';
      jump.onclick = () => go(value.round_of[wrong], null, 'pushState');
      find('.tk-tree-box').hidden = !value.tree;
      tree = null;
      if (value.tree) show(value.tree);
      follow();
    };

    const hover = number => rounds.querySelectorAll('.tk-round').forEach((column, index) => column.classList.toggle('tk-hover', index === number));
    const over = (on, number) => { hover(number); [...said.children].forEach((span, at) => span.classList.toggle('tk-hover', on && value.round_of[at - 1] === number)); };
    said.addEventListener('mouseover', event => { const token = event.target.dataset?.token; over(token !== undefined, value.round_of?.[token] ?? -1); });
    rounds.addEventListener('mouseover', event => { const column = event.target.closest('.tk-round'); over(!!column, column ? Number(column.dataset.round) : -1); });
    for (const part of [said, rounds]) part.addEventListener('mouseleave', () => over(false, -1));
    said.addEventListener('click', event => {
      const token = event.target.dataset?.token;
      if (token !== undefined) go(value.round_of[token], value.node_of[token], 'pushState');
    });
    rounds.addEventListener('click', event => { const column = event.target.closest('.tk-round'); if (column) { go(Number(column.dataset.round), null, 'pushState'); rounds.focus({preventScroll: true}); } });
    const now = () => wanted >= 0 ? wanted : tree?.round ?? 0;
    const jumps = {ArrowLeft: () => now() - 1, ArrowRight: () => now() + 1, Home: () => 0, End: () => value.rounds.length - 1};
    rounds.addEventListener('keydown', event => {
      if (!jumps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      go(jumps[event.key]());
    });
    judge.addEventListener('change', () => { if (tree) redraw(); });
    element.addEventListener('click', event => { const by = event.target.dataset?.zoom; if (by !== undefined) drawing.zoom(Number(by)); });
    T.bus.on('select', follow);
    build();
    watch('value', () => { wanted = -1; build(); });
  };
})();
