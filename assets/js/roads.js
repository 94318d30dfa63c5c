// What was written from one prompt: a tree of branches, and under it the texts that are compared.
(() => {
  const T = window.tokenarium;
  if (T.roads) return;
  const USUAL = 3;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name ?? '', textContent: text ?? ''});
  const SIGNS = {root: '■', own: '✓', beside: '≡', road: '·'};
  const NAMES = {root: 'end of the prompt', own: 'shown', beside: 'compared', road: 'another branch'};

  // Common beginnings once: a node is a run of tokens that no branch leaves, its ``ends`` the branches that end there.
  T.branched = (roads, prompt) => {
    const nodes = [{parent: -1, depth: 0, text: prompt, below: roads.map((_, index) => index), ends: []}];
    const grow = (parent, members, at) => {
      const groups = new Map();
      for (const index of members) {
        const id = roads[index].ids[at];
        if (id === undefined) nodes[parent].ends.push(index);
        else groups.set(id, [...groups.get(id) ?? [], index]);
      }
      for (const group of groups.values()) {
        let to = at + 1;
        const same = () => group.every(index => to < roads[index].ids.length && roads[index].ids[to] === roads[group[0]].ids[to]);
        while (same()) to += 1;
        const {texts, probs} = roads[group[0]];
        nodes.push({parent, depth: nodes[parent].depth + 1, text: texts.slice(at, to).join(''), p_raw: probs[at], below: group, ends: []});
        grow(nodes.length - 1, group, to);
      }
    };
    grow(0, nodes[0].below, 0);
    return nodes;
  };

  T.roads = (element, props, watch, server) => {
    const find = name => element.querySelector(name);
    const host = find('.tk-roads'), said = find('.tk-roads-said'), hidden = find('[data-pruned]');
    let value = {roads: []}, shown = [], nodes = [], all = false;
    const beside = () => (T.state.roads ?? shown.filter(road => road.run !== value.run).slice(0, USUAL).map(road => road.key).join('.')).split('.').filter(Boolean);
    const own = () => shown.find(road => road.run === value.run && road.lane === (T.state.node ?? road.lane)) ?? shown.find(road => road.run === value.run) ?? shown[0];
    const compared = () => { const keys = beside(), first = own(); return [first, ...shown.filter(road => road !== first && keys.includes(road.key))]; };
    const toggle = road => {
      const keys = beside();
      T.select({roads: (keys.includes(road.key) ? keys.filter(key => key !== road.key) : [...keys, road.key]).join('.') || 'none'}, 'replaceState');
      draw();
    };
    const tree = T.tree(find('.tk-road-tree'), index => {
      find('.tk-road-tree').dataset.chosen = index;
      tree.mark(index);
      const ends = [...nodes[index].ends, ...nodes[index].below].map(at => shown[at]).find(road => road !== own());
      if (ends && index) toggle(ends);
    }, () => 'Tree of branches');

    const plain = () => shown.map(road => `${road.name || road.title}\n${road.text}`).join('\n\n');
    const json = roads => JSON.stringify({run: value.run, prompt: value.prompt, branches: roads.map(({key, on, pruned, ...road}) => road)}, null, 1);
    const change = async (road, asked) => {
      const found = await server.road_change({run: road.run, visitor: T.visitor, ...asked});
      if (found.refused) { T.say(found.refused, 15_000); return; }
      value.roads.filter(({run}) => run === road.run).forEach(each => Object.assign(each, found));
      build();
    };
    const button = (text, title, go) => { const made = Object.assign(make('button', '', text), {type: 'button', title}); made.addEventListener('click', go); return made; };
    const rename = (road, head) => {
      const input = Object.assign(make('input'), {value: road.name, maxLength: 60, placeholder: 'Name of this branch'});
      input.setAttribute('aria-label', 'Name of this branch');
      input.addEventListener('keydown', event => {
        event.stopPropagation();
        if (event.key === 'Enter') change(road, {name: input.value});
        if (event.key === 'Escape') draw();
      });
      input.addEventListener('change', () => change(road, {name: input.value}));
      head.replaceChildren(input);
      input.focus();
    };
    const line = (road, first) => {
      const mine = road === first, box = make('div', `tk-road-line${mine ? ' tk-own' : ''}`), head = make('p', 'tk-road-head'), words = make('div', 'tk-road-words');
      let same = 0;
      while (same < Math.min(road.ids.length, first.ids.length) && road.ids[same] === first.ids[same]) same += 1;
      const of = (text, name) => [text, `${name} ${road.lane}`];
      const facts = [
        road.name && [[road.title]], [of(`${road.ids.length} tokens`, 'lane_tokens'), [road.given ? `, ${road.given} given` : '']],
        [['mean ln p '], of(road.mean_log_prob.toFixed(2), 'mean_log_prob')], [['mean entropy '], of(`${road.entropy.toFixed(2)} nats`, 'mean_entropy')],
        [of(`${road.passes} passes`, 'lane_passes'), [', '], of(`${road.token_steps} tokens`, 'lane_steps'), [' read']], [of(`${road.seconds.toFixed(2)} s`, 'lane_seconds')],
        !mine && [[same < road.ids.length ? `differs at step ${same + 1}` : 'ends within it']],
      ].filter(Boolean).flatMap((part, at) => at ? [[' · '], ...part] : part);
      const about = make('span', 'tk-sub');
      about.append(...T.sentence(facts, true, road.run));
      head.append(make('b', '', road.name || road.title), ' ', about);
      const tools = make('span', 'tk-road-tools');
      if (road.run !== value.run) tools.append(Object.assign(make('a', '', 'open'), {href: `decode?run=${road.run}&node=${road.lane}`}));
      if (road.on) tools.append(Object.assign(make('a', '', 'continue'), {href: `decode?branch=${road.on}`, title: 'Write more tokens after its last one'}));
      tools.append(button('name', 'Give this run a name', () => rename(road, head)), button('save', 'Save this branch as JSON', () => T.download(json([road]), 'branch.json', 'application/json')));
      if (road.run !== value.run) tools.append(button(road.pruned ? 'bring back' : 'prune', 'Leave its run out of the tree; it stays in the library', () => change(road, {pruned: !road.pruned})), button('leave out', 'Take it out of the comparison', () => toggle(road)));
      const texts = mine ? [['', road.texts.join('')]] : [['tk-shared', road.texts.slice(0, same).join('')], ['tk-apart', road.texts.slice(same, same + 1).join('')], ['', road.texts.slice(same + 1).join('')]];
      words.append(...texts.filter(([, text]) => text).map(([name, text]) => make('span', name, text)));
      box.append(head, tools, words);
      return box;
    };
    const draw = () => {
      if (!shown.length) { host.replaceChildren(); tree.clear(); return; }
      const rows = compared(), first = rows[0];
      nodes = T.branched(shown, `…${value.prompt}`);
      const fate = ({below}, index) => !index ? 'root' : below.some(at => shown[at] === first) ? 'own' : below.some(at => rows.includes(shown[at])) ? 'beside' : 'road';
      tree.draw({nodes, fates: nodes.map(fate), signs: SIGNS, names: NAMES, widest: 240, least: .75});
      host.replaceChildren(...rows.map(road => line(road, first)));
    };
    const build = () => {
      shown = value.roads.filter(road => all || !road.pruned);
      const left = new Set(value.roads.filter(road => road.pruned).map(road => road.run)).size;
      hidden.hidden = !left;
      hidden.textContent = all ? 'hide pruned runs' : `show ${left} pruned`;
      said.textContent = value.said;
      element.classList.toggle('tk-nothing', !value.said);
      find('.tk-roads-head').hidden = value.roads.length < 2;
      find('.tk-road-tree').hidden = shown.length < 2;
      draw();
    };
    hidden.addEventListener('click', () => { all = !all; build(); });
    element.querySelectorAll('[data-zoom]').forEach(each => each.addEventListener('click', () => tree.zoom(Number(each.dataset.zoom))));
    find('[data-save="json"]').addEventListener('click', () => T.download(json(shown), 'branches.json', 'application/json'));
    find('[data-save="text"]').addEventListener('click', () => T.download(plain(), 'branches.txt', 'text/plain'));
    T.bus.on('select', () => { if (value.run === (T.state.run ?? null) && shown.length) draw(); });
    const read = () => { value = props.value ? JSON.parse(props.value) : {roads: []}; build(); };
    read();
    watch('value', read);
  };
})();
