// A choice of texts of several kinds: those at hand, and text files of the visitor's own.
(() => {
  const T = window.tokenarium;
  if (T.sampleChoice) return;
  const LONGEST = 400000;

  // mine: {samples: names, own: [{title, text}]}, changed in place; offered: [[name, title], ...]
  T.sampleChoice = ({make, picked, pressed, input}, mine, offered) => {
    const box = make('div', 'tk-cuts-chips'), titles = Object.fromEntries(offered);
    const file = Object.assign(input('file', ''), {accept: '.txt,.md,.py,.json,.csv,text/*', multiple: true, hidden: true});
    file.setAttribute('aria-label', 'Text files of yours');
    file.addEventListener('change', async () => {
      for (const one of file.files) mine.own.push({title: one.name, text: (await one.text()).slice(0, LONGEST)});
      file.value = '';
      draw();
    });
    const chip = (text, off) => {
      const one = make('span', 'tk-cuts-chip'), button = pressed('×', () => { off(); draw(); });
      button.setAttribute('aria-label', `Leave out ${text}`);
      one.append(make('span', '', text), button);
      return one;
    };
    const draw = () => {
      const left = offered.filter(([name]) => !mine.samples.includes(name));
      const list = picked([['', 'Add a text'], ['file', 'Text files of yours'], ...left], '');
      list.setAttribute('aria-label', 'Add a text');
      list.addEventListener('change', () => {
        if (list.value === 'file') { list.value = ''; file.click(); return; }
        mine.samples.push(list.value);
        draw();
        box.querySelector('select').focus();
      });
      box.replaceChildren(
        ...mine.samples.map(name => chip(titles[name] ?? name, () => { mine.samples = mine.samples.filter(each => each !== name); })),
        ...mine.own.map(each => chip(`${each.title}: ${each.text.length.toLocaleString('en')} characters`, () => { mine.own = mine.own.filter(other => other !== each); })),
        list, file);
    };
    draw();
    return box;
  };
})();
