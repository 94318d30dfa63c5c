// Views that are no Plotly figures as a picture: their words and colours put together as an SVG.
(() => {
  const T = window.tokenarium;
  if (T.snapshot) return;
  const NS = 'http://www.w3.org/2000/svg', AROUND = 14, LINE = 14, TITLE = 26, LEAST = 480, FONT = 'Helvetica, Arial, sans-serif';
  const shape = (tag, attributes, parent, text) => {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return parent.appendChild(made);
  };
  const clear = colour => colour === 'transparent' || /, 0\)$/.test(colour);
  // The lines of a text node: where it breaks, the parts by their height.
  const lines = node => {
    const range = document.createRange(), found = [];
    range.selectNodeContents(node);
    const rects = range.getClientRects();
    if (rects.length === 1) return [[node.data, rects[0]]];
    for (let at = 0; at < node.length; at++) {
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const rect = range.getClientRects()[0];
      if (!rect?.width) continue;
      const last = found.at(-1);
      if (last && Math.abs(last[1].top - rect.top) < 2) { last[0] += node.data[at]; last[1].width = rect.right - last[1].left; } else found.push([node.data[at], {left: rect.left, top: rect.top, width: rect.width, height: rect.height}]);
    }
    return found;
  };
  const words = (root, into) => {
    const frame = root.getBoundingClientRect();
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    // In the order of the document: a sentence with a number in it is read as it stands.
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const own = node.nodeType === Node.ELEMENT_NODE, element = own ? node : node.parentElement;
      if (!element.checkVisibility() || !own && !node.data.trim()) continue;
      const style = getComputedStyle(element), under = parseFloat(style.borderBottomWidth);
      if (own) for (const rect of element.getClientRects()) {
        const at = {x: rect.left - frame.left, width: rect.width};
        if (!clear(style.backgroundColor)) shape('rect', {...at, y: rect.top - frame.top, height: rect.height, rx: 2, fill: style.backgroundColor}, into);
        if (under && style.display === 'inline' && !clear(style.borderBottomColor)) shape('rect', {...at, y: rect.bottom - frame.top - under, height: under, fill: style.borderBottomColor}, into);
      } else for (const [text, rect] of lines(node)) {
        const size = parseFloat(style.fontSize);
        shape('text', {x: rect.left - frame.left, y: rect.top - frame.top + rect.height / 2 + size * .35, textLength: rect.width, lengthAdjust: 'spacingAndGlyphs', 'font-size': size, 'font-weight': style.fontWeight, fill: style.color, 'text-decoration': style.textDecorationLine, 'xml:space': 'preserve'}, into, text);
      }
    }
    return [frame.width, frame.height];
  };
  const KEPT = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'font-size', 'font-weight', 'font-family', 'opacity', 'fill-opacity'];
  const tree = (svg, into) => {
    const copy = svg.cloneNode(true), all = svg.querySelectorAll('*');
    copy.querySelectorAll('*').forEach((part, place) => { const style = getComputedStyle(all[place]); for (const name of KEPT) part.setAttribute(name, style.getPropertyValue(name)); });
    const [, , wide, tall] = svg.getAttribute('viewBox').split(' ').map(Number);
    copy.setAttribute('width', wide);
    copy.setAttribute('height', tall);
    into.append(copy);
    return [wide, tall];
  };
  // Prompt, model and seed, as the figures of the same run have them.
  const meta = () => [...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.layout?.meta)
    .find(found => found?.caption?.endsWith(`run ${T.state.run}`)) ?? {caption: `Tokenarium · run ${T.state.run ?? 'in part'}`};
  const composed = (root, title, about) => {
    const {classList} = document.body, dark = classList.contains('dark');
    classList.remove('dark'); // as it looks on white; nothing is painted before it is put back
    root.classList.add('tk-snap');
    try {
      const svg = document.createElementNS(NS, 'svg'), paper = shape('rect', {fill: '#fff'}, svg), inside = shape('g', {transform: `translate(${AROUND} ${AROUND + TITLE})`}, svg);
      const [width, tall] = root instanceof SVGElement ? tree(root, inside) : words(root, inside), wide = Math.max(LEAST, width) + 2 * AROUND;
      shape('text', {x: AROUND, y: AROUND + 12, 'font-size': 15, 'font-weight': 700, fill: '#1f2937'}, svg, title);
      const credits = T.credits(about, wide - 2 * AROUND), from = AROUND + TITLE + tall + 10;
      credits.forEach((text, place) => shape('text', {x: AROUND, y: from + LINE * (place + .7), 'font-size': 10, fill: '#4b5563'}, svg, text));
      const size = {width: wide, height: from + LINE * credits.length + AROUND};
      for (const part of [svg, paper]) for (const [name, value] of Object.entries(size)) part.setAttribute(name, Math.ceil(value));
      svg.setAttribute('font-family', FONT);
      return [new XMLSerializer().serializeToString(svg), size];
    } finally {
      root.classList.remove('tk-snap');
      classList.toggle('dark', dark);
    }
  };
  const png = async (text, {width, height}) => {
    const image = new Image(), canvas = Object.assign(document.createElement('canvas'), {width: 2 * width, height: 2 * height});
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise(done => canvas.toBlob(done, 'image/png'));
  };
  // ``root`` gives the element that is drawn now, or null; ``rows``, if any, its table; ``of``, where
  // it is of another run than the page, what stands under the picture and in the name of the file.
  T.snapshot = ({element, name, title, root, rows, of = () => ({meta: meta(), run: T.state.run})}) => T.savable({
    element, title, run: () => of().run, name: () => root() && `tokenarium-${name}`,
    formats: {
      png: () => png(...composed(root(), title(), of().meta)),
      svg: () => composed(root(), title(), of().meta)[0],
      ...rows && {csv: () => T.csv(rows())},
    },
  });
})();
