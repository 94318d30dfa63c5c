// Buttons for the shown run. Nothing leaves this machine: files are made from the server's answer.
(() => {
  const T = window.tokenarium;
  if (T.downloads) return;
  const TYPES = {json: 'application/json', csv: 'text/csv'};
  T.downloads = (element, props, server) => {
    const done = element.querySelector('.tk-done');
    const say = text => { done.textContent = text; setTimeout(() => { done.textContent = ''; }, 2500); };
    const link = async () => {
      const url = new URL(location.href);
      url.searchParams.set('run', props.value);
      try { await navigator.clipboard.writeText(url.href); say('Link copied.'); }
      catch { history.replaceState(history.state, '', url); say('The address bar holds the link.'); }
    };
    const save = async file => {
      say('Preparing…');
      const text = await server.export_file({run: props.value, file});
      const made = document.createElement('a');
      made.href = URL.createObjectURL(new Blob([text], {type: TYPES[file.split('.').at(-1)]}));
      made.download = `tokenarium-${props.value}-${file}`;
      made.click();
      URL.revokeObjectURL(made.href);
      say('Downloaded.');
    };
    element.addEventListener('click', event => {
      const file = event.target.closest('button')?.dataset.file;
      if (file === undefined) return;
      if (!props.value) { say('No stored run is shown.'); return; }
      if (file) save(file); else link();
    });
  };
})();
