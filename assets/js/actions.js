// Buttons for the shown run. Nothing leaves this machine: files are made from the server's answer.
(() => {
  const T = window.tokenarium;
  if (T.actions) return;
  const TYPES = {json: 'application/json', csv: 'text/csv'};
  T.actions = (element, server) => {
    const done = element.querySelector('.tk-done');
    const say = text => { done.textContent = text; setTimeout(() => { done.textContent = ''; }, 2500); };
    const link = async () => {
      if (!T.state.run) { say('No stored run to link to.'); return; }
      const address = T.address().href;
      try { await navigator.clipboard.writeText(address); say('Link copied.'); }
      catch { history.replaceState(history.state, '', address); say('The address bar holds the link.'); }
    };
    const save = async file => {
      const [section, name] = file.split('/'), run = T.state[section];
      if (!run) { say('No stored run to download.'); return; }
      say('Preparing…');
      const text = await server.export_file({section, run, file: name});
      const made = document.createElement('a');
      made.href = URL.createObjectURL(new Blob([text], {type: TYPES[name.split('.').at(-1)]}));
      made.download = `tokenarium-${run}${name === 'run.json' ? '.json' : `-${name}`}`;
      made.click();
      URL.revokeObjectURL(made.href);
      say('Downloaded.');
    };
    const theme = () => {
      const dark = document.body.classList.toggle('dark');
      try { localStorage.setItem('tokenarium_theme', dark ? 'dark' : 'light'); } catch { /* not kept, still changed */ }
    };
    element.addEventListener('click', event => {
      const {do: what, file} = event.target.closest('button')?.dataset ?? {};
      if (file) save(file); else ({link, theme})[what]?.();
    });
    try {
      const kept = localStorage.getItem('tokenarium_theme');
      if (kept && !new URL(location.href).searchParams.has('__theme')) document.body.classList.toggle('dark', kept === 'dark');
    } catch { /* the system's theme stays */ }
  };
})();
