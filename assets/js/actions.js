// Buttons for the shown run. Nothing leaves this machine: files are made from the server's answer.
(() => {
  const T = window.tokenarium;
  if (T.actions) return;

  // Lets the browser save what was made here.
  T.download = (content, name, type) => {
    const made = document.createElement('a');
    made.href = URL.createObjectURL(new Blob([content], {type}));
    made.download = name;
    made.click();
    setTimeout(() => URL.revokeObjectURL(made.href), 10_000);
  };
  const bytes = text => Uint8Array.from(atob(text), sign => sign.charCodeAt(0));

  T.actions = (element, server) => {
    const {all, own} = JSON.parse(element.querySelector('.tk-actions').dataset.saved);
    const say = (...said) => T.say(...said);
    const link = () => T.state.run ? T.copyLink() : say('No stored run to link to.');
    const save = async (section, file) => {
      say('Preparing…', 600_000);
      try {
        const found = await server.export_file({section, run: T.state[section], file});
        if (found.error) { say(found.error, 15_000); return; }
        T.download(found.text ?? bytes(found.base64), found.name, found.type);
        say('Saved.');
      } catch (error) { say(`Not saved: ${error?.message ?? error}`, 15_000); }
    };
    T.explain = (number, run) => server.explain_number({run, number});
    const filesOf = ([section, [title, files]]) => {
      const nothing = section === 'run' ? [{items: [{text: 'Nothing is stored yet: press Run.', go: () => {}}]}] : [];
      const row = ([file, text]) => ({items: [{text, name: section === 'run' ? '' : `${title}: ${text}`, go: () => save(section, file)}]});
      return {title, rows: T.state[section] ? Object.entries({...files, ...all}).map(row) : nothing};
    };
    const share = () => ({title: 'Share', rows: T.state.run ? [{items: [{text: 'Copy link to what is shown', go: link}]}, {items: [{text: 'Embed in another page', go: () => T.embedding(T.inSight().map(({view}) => view))}]}] : []});
    // Another page has those that a run can stand beside; the runs of a race stand beside each other.
    const beside = () => ({title: 'Compare', rows: Object.entries(own).filter(([section]) => T.state[section]).map(([section, [title]]) => {
      const ids = T.state[section].split('.'), text = ids.length > 1 ? 'Compare these runs' : 'Compare with…';
      return {items: [{text: section === 'run' ? text : `${title}: ${text}`, go: () => location.assign(`compare?runs=${ids.join(',')}`)}]};
    })});
    const groups = () => [...Object.entries(own).map(filesOf), {title: 'In sight', rows: T.inSight()}, share(), beside()];
    T.tools(element, {groups, link});
  };
})();
