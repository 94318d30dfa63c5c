// The view of the Tokens page on what a list of merges says about the training text.
(() => {
  const T = window.tokenarium;
  if (T.mixtureView) return;

  T.mixtureView = tools => {
    const {ask, busy, state, make, label, picked, pressed, input, error} = tools;
    const mine = {samples: null, own: []};
    return (host, value) => {
      const bar = make('div', 'tk-cuts-bar'), out = make('div');
      mine.samples ??= value.usual;
      const names = state().with;
      const which = picked(names.map(name => [name, name]), names.includes(mine.tokenizer) ? mine.tokenizer : names[0]);
      const merges = input('number', mine.merges ?? value.merges, {min: 20, max: 1000, step: 20});
      const begin = () => {
        Object.assign(mine, {tokenizer: which.value, merges: Number(merges.value)});
        out.replaceChildren(Object.assign(make('p', 'tk-status', 'Counting pairs and solving for the shares…'), {role: 'status'}));
        ask('mixture', {...mine, run: true});
      };
      bar.append(label('Tokenizer', which), label('Merges', merges), pressed('Infer', begin));
      const cost = make('p', 'tk-sub', 'At every step of its training BPE merged the pair that was commonest in the whole mixture. The shares are those under which the first merges need the least slack, given how common pairs are in these samples. They are shares among these kinds only. A few seconds; no model is read.');
      if (value.error) error(out, value.error);
      if (value.busy) busy(out, 'mixture', value, () => ask('mixture', {run: true, busy: value.busy}));
      if (value.said) {
        out.insertAdjacentHTML('beforeend', value.said + value.html + value.notes.join(''));
      }
      host.replaceChildren(T.sampleChoice(tools, mine, value.samples ?? []), bar, cost, out);
    };
  };
})();
