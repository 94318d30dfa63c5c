// Buttons for the shown run. Nothing leaves this machine: the file is made from the server's answer.
(() => {
  const T = window.tokenarium;
  if (T.actions) return;
  T.actions = (element, server) => {
    const done = element.querySelector('.tk-done');
    const say = text => { done.textContent = text; setTimeout(() => { done.textContent = ''; }, 2500); };
    const doing = {
      link: async () => {
        if (!T.state.run) { say('No stored run to link to.'); return; }
        const address = T.address().href;
        try { await navigator.clipboard.writeText(address); say('Link copied.'); }
        catch { history.replaceState(history.state, '', address); say('The address bar holds the link.'); }
      },
      json: async () => {
        if (!T.state.run) { say('No stored run to download.'); return; }
        say('Preparing…');
        const text = await server.export_run(T.state.run);
        const link = document.createElement('a');
        link.href = URL.createObjectURL(new Blob([text], {type: 'application/json'}));
        link.download = `tokenarium-${T.state.run}.json`;
        link.click();
        URL.revokeObjectURL(link.href);
        say('Downloaded.');
      },
      theme: () => {
        const dark = document.body.classList.toggle('dark');
        try { localStorage.setItem('tokenarium_theme', dark ? 'dark' : 'light'); } catch { /* not kept, still changed */ }
      },
    };
    element.addEventListener('click', event => doing[event.target.closest('button')?.dataset.do]?.());
    try {
      const kept = localStorage.getItem('tokenarium_theme');
      if (kept && !new URL(location.href).searchParams.has('__theme')) document.body.classList.toggle('dark', kept === 'dark');
    } catch { /* the system's theme stays */ }
  };
})();
