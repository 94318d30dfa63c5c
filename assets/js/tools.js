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
  const pictures = () => [{title: 'In sight', rows: T.inSight().length ? T.inSight() : [{items: [{text: 'No figure is in sight.', go: () => {}}]}]}];

  // ``groups`` makes what the Save menu offers; ``link`` copies the address.
  T.tools = (element, {groups = pictures, link = copy} = {}) => {
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
