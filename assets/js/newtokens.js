// The view of the Tokens page on new tokens for an old model.
(() => {
  const T = window.tokenarium;
  if (T.newTokensView) return;

  T.newTokensView = tools => {
    const {ask, make, label, picked, pressed, input, error, busy, ran} = tools;
    const mine = {asked: false};
    return (host, value) => {
      const bar = make('div', 'tk-cuts-bar'), out = make('div');
      mine.model ??= value.models.includes(value.model) ? value.model : value.models[0];
      mine.passage ??= value.passage;
      mine.words ??= value.words ?? '';
      const models = picked(value.models.map(name => [name, name]), mine.model);
      const passage = Object.assign(make('textarea'), {rows: 4, value: mine.passage, spellcheck: false, dir: 'auto', maxLength: 4000});
      const words = input('text', mine.words, {placeholder: 'those that save most'}), most = input('number', mine.most ?? value.most, {min: 1, max: 32, step: 1});
      const begin = () => {
        Object.assign(mine, {model: models.value, passage: passage.value, words: words.value, most: Number(most.value), initialisers: [...methods.querySelectorAll('input:checked')].map(one => one.value), asked: true});
        ask('added', {...mine, run: true});
      };
      bar.append(label('Model', models), label('Words', words, 'tk-cuts-wide'), label('New tokens at most', most), pressed('Swap', begin));
      const cost = make('p', 'tk-sub', 'Words that the tokenizer cuts into pieces become one token each; its rows in the embedding and the output table are made without training. One pass over the text as it is and one for each way to make them, and for TokenAdapt some sixty-five short texts for each new token.');
      mine.initialisers ??= value.usual;
      const methods = make('fieldset', 'tk-cuts-choices'), explain = make('ul', 'tk-cuts-means');
      methods.appendChild(make('legend', '', 'Rows of the new tokens'));
      for (const [slug, title, explained] of value.methods) {
        const one = input('checkbox', slug, {checked: mine.initialisers.includes(slug)}), name = label(title, one);
        name.prepend(one);
        methods.appendChild(name);
        explain.appendChild(make('li', '', `${title}: ${explained}`));
      }
      if (value.error) error(out, value.error);
      if (value.busy) busy(out, 'added', value, () => ask('added', {...mine, run: true}));
      if (value.said && !value.error) {
        if (mine.asked) ran(value.run);
        if (value.about) out.appendChild(make('p', 'tk-sub', value.about));
        out.insertAdjacentHTML('beforeend', value.said + value.html);
      }
      host.replaceChildren(label('Text to score', passage, 'tk-cuts-text'), bar, methods, cost, explain, out);
    };
  };
})();
