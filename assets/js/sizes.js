// The view of the Tokens page on premium against the size of the vocabulary.
(() => {
  const T = window.tokenarium;
  if (T.sizesView) return;

  T.sizesView = tools => {
    const {ask, busy, state, make, label, picked, pressed, input, error} = tools;
    const mine = {samples: [], own: [], source: 'cut', words: true};
    const plot = make('div', 'tk-block'), heard = [], props = {value: null};
    let made = false;
    // One figure, made once: it follows the theme for as long as the page is there.
    const draw = figure => {
      if (!made) {
        plot.innerHTML = '<section class="tk-figure"><h2>Premium as the vocabulary grows</h2><p class="tk-sub">Press a name to hide its line.</p></section>';
        T.plot(plot, props, (_, listener) => heard.push(listener));
        made = true;
      }
      props.value = figure;
      heard.forEach(listener => listener());
    };
    return (host, value) => {
      const bar = make('div', 'tk-cuts-bar'), out = make('div'), more = make('div', 'tk-cuts-view');
      const against = picked(value.languages ?? [['en', 'English']], value.against ?? 'en');
      const source = picked([['cut', 'a tokenizer above, cut off'], ['train', 'one trained for each language']], mine.source);
      const names = state().with, which = picked(names.map(name => [name, name]), names.includes(mine.tokenizer) ? mine.tokenizer : names[0]);
      const size = input('number', mine.size ?? value.size, {min: 300, max: 32000, step: 100}), whole = input('checkbox', '', {checked: mine.words});
      const begin = () => {
        Object.assign(mine, {against: against.value, source: source.value, tokenizer: which.value, size: Number(size.value), words: whole.checked});
        out.replaceChildren(Object.assign(make('p', 'tk-status', 'Counting tokens at each size…'), {role: 'status'}));
        ask('sizes', {...mine, run: true});
      };
      const tokenizer = label('Tokenizer', which), entries = label('Entries', size), words = label('No token beyond a word', whole);
      const own = make('p', 'tk-sub', 'Add a text file for each language, named by it (de.txt, German.txt), of one kind of text, 50 kB or more each; as many bytes of each are read as the shortest has. What is counted is the shipped paragraph, which none was trained on.');
      const switched = () => {
        mine.source = source.value;
        const trains = mine.source === 'train';
        tokenizer.hidden = trains;
        for (const one of [entries, words, more]) one.hidden = !trains;
      };
      source.addEventListener('change', switched);
      more.append(T.sampleChoice(tools, mine, []), own);
      bar.append(label('Vocabulary', source), tokenizer, entries, words, label('Against', against), pressed('Draw', begin));
      switched();
      if (value.error) error(out, value.error);
      if (value.busy) busy(out, 'sizes', value, () => ask('sizes', {run: true, busy: value.busy, against: mine.against}));
      if (value.said) {
        out.insertAdjacentHTML('beforeend', value.said);
        out.append(plot);
        out.insertAdjacentHTML('beforeend', value.html);
      }
      host.replaceChildren(bar, more, out);
      if (value.figure) draw(value.figure);
    };
  };
})();
