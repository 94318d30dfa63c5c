// What is shown as a picture by itself: title, what was run, and a link to this state, dark on white
// whatever the page looks like. Views that can be saved say so by ``T.savable``.
(() => {
  const T = window.tokenarium;
  if (T.picture) return;
  const INK = '#1f2937', FAINT = '#4b5563', LEAST = 640, LINE = 14, SIGN = 5.6, AROUND = 14, TITLE = 20;
  const escaped = text => String(text).replace(/[&<>]/g, sign => ({'&': '&amp;', '<': '&lt;', '>': '&gt;'})[sign]);
  const decoded = text => new DOMParser().parseFromString(text, 'text/html').documentElement.textContent;

  // Lines of at most so many pixels; a word that is longer, such as a link, is broken.
  T.wrapped = (text, wide) => {
    const most = Math.max(20, Math.floor(wide / SIGN)), lines = [''];
    for (const word of text.split(' ').flatMap(word => word.match(new RegExp(`.{1,${most}}`, 'gu')) ?? []))
      if (!lines.at(-1)) lines[lines.length - 1] = word;
      else if (lines.at(-1).length + word.length < most) lines[lines.length - 1] += ` ${word}`;
      else lines.push(word);
    return lines;
  };
  // The address of this state, as anybody may open it.
  T.link = () => {
    const url = T.address();
    for (const name of ['__theme', 'embed']) url.searchParams.delete(name);
    return url.href;
  };
  // What stands under every picture, from what a figure says of its run.
  T.credits = ({prompt, caption}, wide) => [prompt && `Prompt: “${prompt}”`, caption, (T.state.run || T.linked) && T.link()]
    .filter(Boolean).flatMap(text => T.wrapped(text, wide));
  const titleOf = element => element.closest('.tk-figure')?.querySelector('h2')?.textContent ?? '';

  const laidOut = (host, {data, layout}) => {
    const {meta = {}, margin = {}} = layout, full = host._fullLayout, wide = Math.max(host.clientWidth, LEAST);
    const heading = T.wrapped(decoded(meta.label ?? ''), wide - 2 * AROUND), credits = T.credits(meta, wide - 2 * AROUND);
    const above = AROUND + TITLE + LINE * heading.length + (full.legend?._height ?? 0), below = LINE * credits.length + AROUND;
    const [l, b] = [full._size.l, full._size.b + 8], tall = host.clientHeight + above + below;
    // Titles stand by their numbers, not at the edge of a margin that has grown.
    const axes = Object.entries(layout).filter(([name, axis]) => /^[xy]axis\d*$/.test(name) && axis.title?.text)
      .map(([name, axis]) => [name, {...axis, title: {...axis.title, standoff: name[0] === 'x' ? 6 : 4}}]);
    return {data, layout: {
      ...structuredClone(layout), ...Object.fromEntries(axes), template: undefined, autosize: false, width: wide, height: tall,
      paper_bgcolor: '#fff', plot_bgcolor: '#fff', font: {...layout.font, color: INK, family: 'Helvetica, Arial, sans-serif'},
      margin: {...margin, l, t: (margin.t ?? 8) + above, b: b + below},
      title: {text: `<b>${escaped(titleOf(host))}</b><br><span style="font-size:11px">${heading.map(escaped).join('<br>')}</span>`, font: {size: 15}, x: AROUND / wide, xanchor: 'left', y: 1 - AROUND / tall, yref: 'container', yanchor: 'top'},
      annotations: [...layout.annotations ?? [], {text: credits.map(escaped).join('<br>'), align: 'left', xref: 'paper', yref: 'paper', x: 0, y: 0, xanchor: 'left', yanchor: 'top', xshift: AROUND - l, yshift: -b, showarrow: false, font: {size: 10, color: FAINT}}],
    }};
  };
  T.picture = async (host, drawn, format) => {
    const made = laidOut(host, drawn), {width, height} = made.layout;
    const address = await window.Plotly.toImage(made, {format, width, height, scale: format === 'png' ? 2 : 1});
    return (await fetch(address)).blob();
  };

  // Of each view: its element, which has the title and, if any, a button; a name for files; formats,
  // each a function that makes the content.
  const TYPES = {png: 'image/png', svg: 'image/svg+xml', csv: 'text/csv'};
  const WORDS = {png: 'Picture (PNG)', svg: 'Picture (SVG)', csv: 'Table of what is drawn (CSV)'};
  const views = new Set();
  const save = async ({name, formats, run = () => T.state.run}, format) => {
    T.say('Preparing…', 600_000);
    try {
      T.download(await formats[format](), [name() ?? 'tokenarium', run()].filter(Boolean).join('-') + `.${format}`, TYPES[format]);
      T.say('Saved.');
    } catch (error) { T.say(`Not saved: ${error?.message ?? error}`, 15_000); }
  };
  const named = view => view.title?.() ?? view.element.querySelector('h2')?.textContent ?? '';
  T.savable = view => {
    views.add(view);
    const button = view.element.querySelector(':scope > .tk-save');
    if (button) T.menu(button, () => [{title: named(view), rows: Object.keys(view.formats).map(format => ({items: [{text: WORDS[format], go: () => save(view, format)}]}))}]);
  };
  // Rows of a menu: what is in sight now.
  T.inSight = () => {
    for (const view of views) if (!view.element.isConnected) views.delete(view);
    return [...views].filter(({element, name}) => element.checkVisibility() && element.clientWidth && name()).map(view => ({
      view: {...view, named: named(view)},
      label: named(view),
      items: Object.keys(view.formats).map(format => ({text: format.toUpperCase(), name: `${named(view)}: ${WORDS[format]}`, go: () => save(view, format)})),
    }));
  };
})();
