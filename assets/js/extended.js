// The view of the Tokens page on a tokenizer with merges of another language on top of its own.
(() => {
  const T = window.tokenarium;
  if (T.extendedView) return;

  T.extendedView = tools => {
    const {ask, add, state, make, label, picked, pressed, input, error, busy} = tools;
    const mine = {}, saves = make('div', 'tk-cuts-view'), costs = make('div', 'tk-cuts-view');
    return (host, value) => {
      const bar = make('div', 'tk-cuts-bar'), price = make('div', 'tk-cuts-bar');
      mine.corpus ??= value.corpus;
      mine.model ??= value.models[0];
      mine.language ??= value.language;
      const names = state().with, which = picked(names.map(name => [name, name]), names.includes(mine.tokenizer) ? mine.tokenizer : names[0]);
      const corpus = Object.assign(make('textarea'), {rows: 5, value: mine.corpus, spellcheck: false, dir: 'auto', maxLength: 100000});
      const merges = input('number', mine.merges ?? value.merges, {min: 1, max: 8000, step: 1}), language = picked(value.languages, mine.language);
      const models = picked(value.models.map(name => [name, name]), mine.model), most = input('number', mine.most ?? value.most, {min: 1, max: 128, step: 1});
      const begin = (run, host, words) => {
        Object.assign(mine, {tokenizer: which.value, corpus: corpus.value, merges: Number(merges.value), language: language.value, model: models.value, most: Number(most.value), asked: run});
        host.replaceChildren(Object.assign(make('p', 'tk-status', words), {role: 'status'}));
        ask('extended', {...mine, run});
      };
      bar.append(label('Tokenizer', which), label('Merges', merges), label('Language of the text', language), pressed('Extend', () => begin(true, saves, 'Counting pairs of tokens…')));
      price.append(label('Model', models), label('New tokens at most', most), pressed('Score', () => begin('price', costs, 'Asking the model…')));
      const how = make('p', 'tk-sub', 'Pairs of the tokenizer’s own tokens are merged, the commonest of this text first, and become new tokens. What is counted is the shipped paragraph, in every language. No model is read.');
      const cost = make('p', 'tk-sub', 'What the new tokens cost a model that was not trained with them: its own tokenizer is extended with the text above, and the paragraph in that language scored, with the rows of the new tokens made without training. One pass for each way to make them, and for TokenAdapt some sixty-five short texts for each new token.');
      const out = mine.asked === 'price' ? costs : saves;
      if (value.error) { out.replaceChildren(); error(out, value.error); }
      if (value.busy) {
        out.replaceChildren();
        busy(out, 'extended', value, () => ask('extended', mine.asked === 'price' ? {...mine, run: 'price'} : {run: true, busy: value.busy, language: mine.language}));
      }
      if (value.said) {
        saves.replaceChildren(make('p', 'tk-sentence', value.said));
        saves.insertAdjacentHTML('beforeend', value.html);
        saves.appendChild(make('div', 'tk-cuts-chips')).appendChild(pressed('Add it to the tokenizers above', () => add(value.name)));
      }
      if (value.price) {
        costs.innerHTML = value.price.said + value.price.html;
      }
      host.replaceChildren(label('Text in another language', corpus, 'tk-cuts-text'), bar, how, saves, price, cost, costs);
    };
  };
})();
