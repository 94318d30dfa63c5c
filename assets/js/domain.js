// The view of the Tokens page on a domain's tokenizer against a general one, and on noise.
(() => {
  const T = window.tokenarium;
  if (T.domainView) return;
  const LONGEST = 400000;

  T.domainView = tools => {
    const {ask, add, make, label, picked, pressed, input, error, busy} = tools;
    const mine = {own: [], noise: 'ocr'};
    return (host, value) => {
      const bar = make('div', 'tk-cuts-bar'), out = make('div');
      [mine.domain, mine.general] = [mine.domain ?? value.usual[0], mine.general ?? value.usual[1]];
      // A list of texts, the last entry of which takes a file; both lists know the files of either.
      const text = (part, title) => {
        const file = Object.assign(input('file', ''), {accept: '.txt,.md,.py,.json,.csv,text/*', hidden: true});
        const entries = () => [...value.samples, ...mine.own.map(each => [each.title, each.title]), ['file', 'A text file of yours']];
        const list = picked(entries(), mine[part]);
        file.addEventListener('change', async () => {
          const [one] = file.files;
          if (!one) return;
          const title = one.name.split(/\s+/).filter(Boolean).join(' ').slice(0, 40) || 'text', body = (await one.text()).slice(0, LONGEST);
          mine.own = [...mine.own.filter(each => each.title !== title), {title, text: body}].slice(-8);
          mine[part] = title;
          for (const each of lists) {
            const chosen = each === list ? title : each.value;
            each.replaceChildren(...entries().map(([name, words]) => Object.assign(make('option', '', words), {value: name})));
            each.value = chosen;
          }
        });
        list.addEventListener('change', () => {
          if (list.value === 'file') { list.value = mine[part]; file.click(); } else mine[part] = list.value;
        });
        bar.append(label(title, list), file);
        return list;
      };
      const lists = [];
      lists.push(text('domain', 'Domain'), text('general', 'General'));
      const size = input('number', mine.size ?? value.size, {min: 260, max: 32000, step: 10}), noise = picked(value.noises, mine.noise);
      const share = input('number', mine.share ?? value.share, {min: 0.1, max: 100, step: 'any'});
      const begin = () => {
        Object.assign(mine, {size: Number(size.value), noise: noise.value, share: Number(share.value)});
        out.replaceChildren(Object.assign(make('p', 'tk-status', 'Training three tokenizers and counting…'), {role: 'status'}));
        ask('domain', {...mine, run: true});
      };
      bar.append(label('Entries', size), label('Errors', noise), label('of places, %', share), pressed('Compare', begin));
      const cost = make('p', 'tk-sub', 'Byte-pair encoding is trained on both texts, on as many bytes of each, and BPE whose tokens have at most three bytes on the domain. The last fifth of each text is counted, and the domain’s once more with letters misread or mistyped. The tokenizers above are counted too. A few seconds; no model is read.');
      if (value.busy) busy(out, 'domain', value, () => ask('domain', {run: true, busy: value.busy}));
      if (value.error) error(out, value.error);
      if (value.said) {
        out.appendChild(make('p', 'tk-sentence', value.said));
        out.insertAdjacentHTML('beforeend', value.html);
        const more = out.appendChild(make('div', 'tk-cuts-chips'));
        for (const [name, title] of value.made) more.appendChild(pressed(`Add ${title} to the tokenizers above`, () => add(name)));
      }
      host.replaceChildren(bar, cost, out);
    };
  };
})();
