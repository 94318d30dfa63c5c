// What the buttons over every page do: change the theme, copy the link, say what came of it. A page
// that is of no run has these alone; what of it can be saved are its figures.
(() => {
  const T = window.tokenarium;
  if (T.tools) return;
  const KEPT = 'tokenarium_theme';
  T.say = () => {}; // until the buttons are there

  const theme = () => {
    const dark = document.body.classList.toggle('dark');
    try { localStorage.setItem(KEPT, dark ? 'dark' : 'light'); } catch { /* not kept, still changed */ }
  };
  const copy = T.copyLink = async () => {
    const address = T.link().replaceAll('%2C', ',');
    try { await navigator.clipboard.writeText(address); T.say('Link copied.'); }
    catch { history.replaceState(history.state, '', address); T.say('The address bar has the link.'); }
  };
  const bytes = text => Uint8Array.from(atob(text), sign => sign.charCodeAt(0));
  // Lets the browser save what Python makes when it is asked.
  T.saveFile = async ask => {
    T.say('Preparing…', 600_000);
    try {
      const found = await ask();
      if (found.error) { T.say(found.error, 15_000); return; }
      T.download(found.text ?? bytes(found.base64), found.name, found.type);
      T.say('Saved.');
    } catch (error) { T.say(`Not saved: ${error?.message ?? error}`, 15_000); }
  };
  // What a page that is of no run offers: files of what its address names, figures, a link, parts.
  const offered = (element, server) => {
    const {files, parts} = JSON.parse(element.querySelector('.tk-actions').dataset.offered);
    const seen = () => Object.entries(parts).map(([name, [named, ids]]) => ({name, named, elements: ids.map(id => document.getElementById(id)).filter(each => each?.checkVisibility() && each.clientHeight)})).filter(({elements}) => elements.length);
    const item = (text, go) => ({items: [{text, go}]});
    return () => [
      {title: 'This page', rows: Object.entries(files).map(([file, text]) => item(text, () => T.saveFile(() => server.export_file({query: T.whatIsSaved?.() ?? location.search, file, visitor: T.visitor}))))},
      {title: 'In sight', rows: T.inSight()},
      {title: 'Share', rows: [item('Copy link to what is shown', copy), ...seen().length ? [item('Embed in another page', () => T.embedding(seen()))] : []]},
    ];
  };

  // ``groups`` makes what the Save menu offers; ``link`` copies the address.
  T.tools = (element, {server, groups = offered(element, server), link = copy} = {}) => {
    const done = element.querySelector('.tk-done'), save = element.querySelector('.tk-save');
    let until = 0;
    T.say = (text, ms = 2500) => {
      clearTimeout(until);
      done.textContent = text;
      until = setTimeout(() => { done.textContent = ''; }, ms);
    };
    if (save) T.menu(save, groups);
    element.addEventListener('click', event => ({link, theme})[event.target.closest('button')?.dataset.do]?.());
    try {
      const kept = localStorage.getItem(KEPT);
      if (kept && !new URL(location.href).searchParams.has('__theme')) document.body.classList.toggle('dark', kept === 'dark');
    } catch { /* the system's theme stays */ }
  };
  })();
