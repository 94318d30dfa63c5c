// The view of the Tokens page on what a list of merges says about the training text.
(() => {
  const T = window.tokenarium;
  if (T.mixtureView) return;

  T.mixtureView = tools => {
    const {ask, state, make, label, picked, pressed, input, error} = tools;
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
      if (value.said) {
        out.appendChild(make('p', 'tk-sentence', value.said));
        const list = out.appendChild(make('table', 'tk-cuts-bars'));
        list.innerHTML = '<caption class="tk-unseen">Shares of the training text</caption><tbody></tbody>';
        for (const [name, share] of value.bars) {
          const row = list.tBodies[0].insertRow();
          row.appendChild(Object.assign(make('th', '', name), {scope: 'row'}));
          const cell = row.insertCell(), fill = cell.appendChild(make('i'));
          fill.style.width = `${(100 * share).toFixed(1)}%`;
          cell.appendChild(make('span', '', `${(100 * share).toFixed(1)} %`));
        }
        out.insertAdjacentHTML('beforeend', value.html);
        for (const note of value.notes) out.appendChild(make('p', 'tk-sub', `${note}.`));
      }
      host.replaceChildren(T.sampleChoice(tools, mine, value.samples ?? []), bar, cost, out);
    };
  };
})();
