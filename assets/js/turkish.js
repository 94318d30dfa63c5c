// The view of the Tokens page on how many tokens of a Turkish text are Turkish words, roots or affixes.
(() => {
  const T = window.tokenarium;
  if (T.turkishView) return;

  T.turkishView = ({ask, mine, make, label, picked, error}) => (host, value) => {
    const bar = make('div', 'tk-cuts-bar'), out = make('div');
    const source = picked([['shipped', 'the paragraph that is shipped'], ['own', 'the text above']], mine.source);
    source.addEventListener('change', () => { mine.source = source.value; ask('turkish', {source: mine.source}); });
    bar.append(label('Text in Turkish', source));
    if (value.error) error(out, value.error);
    else out.innerHTML = value.said + value.html + value.notes;
    host.replaceChildren(bar, out);
  };
})();
