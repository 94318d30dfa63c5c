// A tree of guesses: depth from left to right, siblings in draw order, what became of each by sign,
// shape and colour, and how likely the draft found it by the width of its edge.
(() => {
  const T = window.tokenarium;
  if (T.tree) return;
  const NS = 'http://www.w3.org/2000/svg', CHAR = 7.9, GAP = 34, PAD = 10, TALL = 22, ROW = 27, WIDEST = 130, TALLEST = 212, LEAST = .72;
  const shape = (tag, attributes, parent) => {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent?.appendChild(made);
    return made;
  };
  const width = text => [...text].reduce((sum, sign) => sum + (sign.codePointAt(0) > 0x2e80 ? 2 : 1), 0) * CHAR + 30;

  // Scrolls a box so that something in it is seen, and never the page around it.
  T.reveal = (box, inside) => {
    if (!inside || !box.clientWidth) return;
    const frame = box.getBoundingClientRect(), found = inside.getBoundingClientRect(), MARGIN = 8;
    const past = (low, high, from, to) => low < from + MARGIN ? low - from - MARGIN : Math.max(0, Math.min(high - to + MARGIN, low - from - MARGIN));
    box.scrollLeft += past(found.left, found.right, frame.left, frame.right);
    box.scrollTop += past(found.top, found.bottom, frame.top, frame.bottom);
  };

  // Leaves one under another, a parent in the middle of its children; a column is as wide as its texts.
  T.placed = (nodes, widest = WIDEST) => {
    const below = nodes.map(() => []), place = nodes.map(() => ({x: 0, y: 0, wide: 0}));
    nodes.forEach((node, index) => { if (node.parent >= 0) below[node.parent].push(index); });
    let rows = 0;
    const order = [], visit = [[0, false]];
    while (visit.length) {
      const [index, done] = visit.pop();
      if (done) { order.push(index); continue; }
      visit.push([index, true]);
      for (const child of [...below[index]].reverse()) visit.push([child, false]);
    }
    for (const index of order) {
      const children = below[index];
      place[index].y = children.length ? (place[children[0]].y + place[children.at(-1)].y) / 2 : rows++ * ROW;
    }
    const columns = [];
    nodes.forEach((node, index) => {
      place[index].wide = Math.min(widest, width(node.text));
      columns[node.depth] = Math.max(columns[node.depth] ?? 0, place[index].wide);
    });
    const left = columns.reduce((sums, wide) => [...sums, sums.at(-1) + wide + GAP], [PAD]);
    nodes.forEach((node, index) => { place[index].x = left[node.depth]; });
    return {below, place, wide: left.at(-1) - GAP + PAD, tall: Math.max(1, rows) * ROW + 2 * PAD};
  };

  // ``view`` has nodes, fates by node, signs, and names; ``choose`` is told which node was pressed.
  T.tree = (host, choose, title = () => `Tree of guesses of round ${(T.state.round ?? 0) + 1}`) => {
    let drawn = null, scale = 0;
    const size = () => {
      if (!drawn) return;
      const across = host.clientWidth / drawn.laid.wide, down = TALLEST / drawn.laid.tall;
      const fit = Math.min(1.15, Math.max(drawn.view.least ?? .45, across), Math.max(LEAST, down));
      const by = fit * 1.25 ** scale;
      drawn.svg.setAttribute('width', drawn.laid.wide * by);
      drawn.svg.setAttribute('height', drawn.laid.tall * by);
    };
    const draw = view => {
      const laid = T.placed(view.nodes, view.widest), {place} = laid, middle = index => place[index].y + PAD + TALL / 2;
      const svg = shape('svg', {viewBox: `0 0 ${laid.wide} ${laid.tall}`, role: 'presentation'});
      view.nodes.forEach((node, index) => {
        if (node.parent < 0) return;
        const from = place[node.parent], [x, y] = [from.x + from.wide, middle(node.parent)], to = place[index];
        const likely = node.q_raw ?? node.p_raw ?? 0, bend = (to.x - x) / 2;
        const fate = view.fates[index];
        shape('path', {d: `M${x} ${y}C${x + bend} ${y} ${to.x - bend} ${middle(index)} ${to.x} ${middle(index)}`, class: `tk-edge tk-f-${fate}`, 'stroke-width': (1 + 7 * likely).toFixed(2)}, svg);
      });
      const groups = view.nodes.map((node, index) => {
        const at = place[index], fate = view.fates[index];
        const group = shape('g', {class: `tk-node tk-f-${fate}`, 'data-node': index, transform: `translate(${at.x} ${at.y + PAD})`}, svg);
        shape('title', {}, group).textContent = `${node.text} (${view.names[fate]})`;
        const round = {accepted: 11, bonus: 11, root: 2, residual_resample: 0}[fate] ?? 5;
        shape('rect', {width: at.wide, height: TALL, rx: round}, group);
        shape('text', {x: 8, y: 15, class: 'tk-sign'}, group).textContent = view.signs[fate];
        const room = Math.floor((at.wide - 30) / CHAR + .01), signs = [...node.text];
        shape('text', {x: 23, y: 15, 'xml:space': 'preserve'}, group).textContent = signs.length > room ? signs.slice(0, room - 1).join('') + '…' : node.text;
        return group;
      });
      host.replaceChildren(svg);
      drawn = {view, laid, svg, groups};
      size();
      reveal(view);
    };
    // A tree taller than its box is seen first where guesses were accepted.
    const reveal = ({fates}) => {
      const kept = drawn.groups.filter((_, index) => ['accepted', 'bonus', 'residual_resample', 'own'].includes(fates[index]));
      for (const group of kept.reverse()) T.reveal(host, group);
    };
    const mark = index => {
      drawn?.groups.forEach((group, at) => group.classList.toggle('tk-chosen', at === index));
      T.reveal(host, drawn?.groups[index]);
    };
    const beside = (index, by) => {
      const {nodes} = drawn.view, same = nodes.map((_, at) => at).filter(at => nodes[at].depth === nodes[index].depth);
      same.sort((one, other) => drawn.laid.place[one].y - drawn.laid.place[other].y);
      return same[same.indexOf(index) + by];
    };
    const moves = {
      ArrowLeft: index => drawn.view.nodes[index].parent,
      ArrowRight: index => drawn.laid.below[index][0],
      ArrowUp: index => beside(index, -1),
      ArrowDown: index => beside(index, 1),
      Home: () => 0,
    };
    host.addEventListener('click', event => {
      const group = event.target.closest('[data-node]');
      if (group) choose(Number(group.dataset.node));
    });
    host.addEventListener('keydown', event => {
      if (!drawn || !moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const next = moves[event.key](Number(host.dataset.chosen || 0));
      if (next >= 0) choose(next);
    });
    T.snapshot({element: host, name: 'tree', title, root: () => drawn?.svg ?? null});
    new ResizeObserver(size).observe(host);
    return {draw, mark, zoom: by => { scale = by ? scale + by : 0; size(); }, clear: () => { drawn = null; host.replaceChildren(); }};
  };
})();
