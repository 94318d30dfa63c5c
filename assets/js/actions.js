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

  const blockOf = ({element, named}) => {
    const block = element.closest('.block[id]');
    return {name: block.id.replace(/^plot-/, ''), named, elements: [block]};
  };

  T.actions = (element, server) => {
    const {all, own} = JSON.parse(element.querySelector('.tk-actions').dataset.saved);
    const say = (...said) => T.say(...said);
    const link = () => T.state.run ? T.copyLink() : say('No stored run to link to.');
    const save = (section, file) => T.saveFile(() => server.export_file({section, run: T.state[section], file}));
    T.explain = Object.assign((number, run) => server.explain_number({run, number}), {figures: true});
    const filesOf = ([section, [title, files]]) => {
      const nothing = section === 'run' ? [{items: [{text: 'Nothing is stored yet: press Run.', go: () => {}}]}] : [];
      const row = ([file, text]) => ({items: [{text, name: section === 'run' ? '' : `${title}: ${text}`, go: () => save(section, file)}]});
      return {title, rows: T.state[section] ? Object.entries({...files, ...all}).map(row) : nothing};
    };
    const share = () => ({title: 'Share', rows: T.state.run ? [{items: [{text: 'Copy link to what is shown', go: link}]}, {items: [{text: 'Embed in another page', go: () => T.embedding([...T.framedLesson(), ...T.inSight().map(({view}) => blockOf(view))])}]}] : []});
    // Another page has those that a run can stand beside; the runs of a race stand beside each other.
    const beside = () => ({title: 'Compare', rows: Object.entries(own).filter(([section]) => T.state[section]).map(([section, [title]]) => {
      const ids = T.state[section].split('.'), text = ids.length > 1 ? 'Compare these runs' : 'Compare with…';
      return {items: [{text: section === 'run' ? text : `${title}: ${text}`, go: () => location.assign(`compare?runs=${ids.join(',')}`)}]};
    })});
    const groups = () => [...Object.entries(own).map(filesOf), {title: 'In sight', rows: T.inSight()}, share(), beside()];
    T.tools(element, {groups, link});
  };
})();
