// The views of the Tokens page: languages, costs, next byte, merges, and how each tokenizer works.
(() => {
  const T = window.tokenarium;
  if (T.tokenViews) return;

  T.tokenViews = ({panel, ask, add, ran, state, make, label, picked, pressed, input, poll}) => {
    const made = {}, paused = {}, ended = new Set(), kept = {languages: {against: 'en', rate: 0}, score: {}, byte: {}, merges: {step: 0}, letters: {task: 'count'}, turkish: {source: 'shipped'}, train: {kind: 'bpe', size: 500, words: true}};
    let now = '', asked = '';
    const box = name => (made[name] ??= make('div', 'tk-cuts-view'));
    const error = (host, words) => { const line = host.appendChild(make('p', 'tk-status tk-error', words)); line.setAttribute('role', 'alert'); };

    // A run is asked for again until it is there: not one that was cancelled, which would begin anew, and
    // while another view is open not before this one is opened again.
    const busy = (host, kind, value, again) => {
      const line = host.appendChild(make('div', 'tk-status')), bar = make('progress'), over = () => line.replaceChildren(make('span', '', 'Cancelled.'));
      line.setAttribute('role', 'status');
      if (ended.has(value.busy)) { over(); return; }
      if (value.share !== undefined) bar.value = value.share; // without one it only moves
      line.append(bar, make('span', '', value.doing), pressed('Cancel', () => { ended.add(value.busy); over(); ask('cancel', {run: value.busy}); }));
      setTimeout(() => { if (ended.has(value.busy)) return; if (now === kind) again(); else paused[kind] = again; }, poll);
    };

    const languages = (host, value) => {
      const mine = kept.languages, bar = make('div', 'tk-cuts-bar');
      const list = picked(value.languages ?? [['en', 'English']], value.against ?? 'en'), rate = input('number', mine.rate || '', {min: 0, step: 'any', placeholder: '0'});
      const again = () => { Object.assign(mine, {against: list.value, rate: Number(rate.value) || 0}); ask('languages', mine); };
      list.addEventListener('change', again);
      rate.addEventListener('change', again);
      bar.append(label('Against', list), label('Price of a million tokens', rate));
      const table = make('div', 'tk-cuts-languages');
      if (value.error) error(table, value.error); else table.innerHTML = value.html;
      host.replaceChildren(bar, table);
    };

    const words = (host, value, run) => {
      const list = make('ol', 'tk-cuts-words'), [native, ...others] = value.rows;
      const which = picked(others.map((row, at) => [at, row.title]), 0);
      const paint = () => {
        const other = others[which.value] ?? native, extra = other.nats.map((nats, at) => nats - native.nats[at]);
        const most = Math.max(1, ...extra.map(Math.abs));
        list.replaceChildren(...value.words.map((word, at) => {
          const item = make('li'), change = extra[at];
          item.style.setProperty('--c', (Math.abs(change) / most * .7).toFixed(2));
          if (change < 0) item.dataset.less = '';
          const more = make('small');
          more.append(T.number(`${change >= 0 ? '+' : '−'}${Math.abs(change).toFixed(1)}`, `word_more ${other.row} ${value.ends[at]} ${value.ends[at + 1]}`, run));
          item.append(make('span', '', other.cuts[at]), more);
          item.title = `${word}: ${native.cuts[at]} costs ${native.nats[at]} nats, ${other.cuts[at]} ${other.nats[at]}`;
          return item;
        }));
      };
      which.addEventListener('change', paint);
      paint();
      if (others.length) host.append(label('By word: nats more than native under', which), list);
    };

    const score = (host, value) => {
      const mine = kept.score, bar = make('div', 'tk-cuts-bar'), out = make('div');
      mine.model ??= value.models[0];
      mine.segmenters ??= value.usual;
      mine.seed ??= 0;
      const models = picked(value.models.map(name => [name, name]), mine.model), seed = input('number', mine.seed, {min: 0, step: 1});
      const set = make('fieldset', 'tk-cuts-choices');
      set.appendChild(make('legend', '', 'Segmenters'));
      for (const [slug, title, explained] of value.methods) {
        const one = input('checkbox', slug, {checked: mine.segmenters.includes(slug), disabled: slug === 'native'});
        const name = label(title, one);
        name.title = explained;
        name.prepend(one);
        set.appendChild(name);
      }
      const begin = () => {
        Object.assign(mine, {model: models.value, seed: Number(seed.value) || 0, segmenters: [...set.querySelectorAll('input:checked')].map(one => one.value)});
        ask('score', {...mine, run: true});
      };
      bar.append(label('Model', models), label('Seed', seed), pressed('Score', begin));
      const cost = make('p', 'tk-sub', `One pass of the model over the first ${value.most.toLocaleString('en')} characters for each segmenter; single bytes are the longest, and dynamic merges go a quarter, half and three quarters of the way to whole words. The sum of -ln p over the tokens of one segmentation, by bytes: an upper bound of what the bytes cost.`);
      if (value.error) error(out, value.error);
      if (value.busy) busy(out, 'score', value, () => ask('score', {...mine, run: true}));
      if (value.html) {
        out.innerHTML = value.html;
        words(out, value.words, value.run);
        for (const note of value.notes) out.appendChild(make('p', 'tk-sub', `${note}.`));
      }
      host.replaceChildren(bar, set, cost, out);
    };

    const byte = (host, value) => {
      const mine = kept.byte, bar = make('form', 'tk-cuts-bar'), out = make('div');
      mine.model ??= value.models[0];
      mine.prefix ??= value.prefix;
      const models = picked(value.models.map(name => [name, name]), mine.model), prefix = input('text', mine.prefix, {maxLength: 1000});
      const begin = () => { Object.assign(mine, {model: models.value, prefix: prefix.value}); ask('byte', {...mine, run: true}); };
      bar.addEventListener('submit', event => { event.preventDefault(); begin(); });
      const press = pressed('Next byte', () => {});
      press.type = 'submit';
      bar.append(label('Model', models), label('Prefix, which may end inside a word', prefix, 'tk-cuts-wide'), press);
      if (value.error) error(out, value.error);
      if (value.busy) busy(out, 'byte', value, () => ask('byte', {...mine, run: true}));
      if (value.said) {
        out.insertAdjacentHTML('beforeend', value.said);
        out.appendChild(make('p', 'tk-sub', `The prefix alone is cut ${value.cut.join(' | ')}`));
        out.insertAdjacentHTML('beforeend', value.html);
      }
      host.replaceChildren(bar, out);
    };

    const merges = (host, value) => {
      const mine = kept.merges, bar = make('form', 'tk-cuts-bar'), out = make('div');
      const word = input('text', value.word ?? mine.word ?? '', {maxLength: 60});
      const names = state().with, which = picked(names.map(name => [name, name]), mine.tokenizer ?? names[0]);
      const begin = () => { Object.assign(mine, {word: word.value, tokenizer: which.value, step: 0}); ask('merges', mine); };
      bar.addEventListener('submit', event => { event.preventDefault(); begin(); });
      which.addEventListener('change', begin);
      const press = pressed('Cut', () => {});
      press.type = 'submit';
      bar.append(label('Word', word), label('Tokenizer', which), press);
      if (value.error) error(out, value.error);
      if (value.merges) {
        const last = value.merges.length - 1, slide = input('range', 0, {min: 0, max: last, step: 1}), line = make('p', 'tk-cuts-pieces'), explained = make('p', 'tk-sub');
        const paint = () => {
          const at = Number(slide.value), pieces = value.merges[at], before = value.merges[at - 1];
          const fresh = before ? pieces.findIndex((piece, place) => piece !== before[place]) : -1;
          line.replaceChildren(...pieces.map((piece, place) => { const part = make('span', 'tk-cut', piece); if (place % 2) part.dataset.odd = ''; if (place === fresh) part.dataset.fresh = ''; return part; }));
          explained.textContent = at ? `Merge ${at} of ${last}: ${before[fresh]} and ${before[fresh + 1]} become one; ${pieces.length} pieces.` : `Before the first merge: ${pieces.length} pieces.`;
        };
        slide.addEventListener('input', paint);
        out.append(label('Merges done', slide, 'tk-cuts-wide'), line, explained);
        explained.setAttribute('aria-live', 'polite');
        paint();
      }
      host.replaceChildren(bar, out);
    };

    const train = (host, value) => {
      const mine = kept.train, bar = make('div', 'tk-cuts-bar'), out = make('div');
      if (value.paragraphs) Object.assign(mine, {paragraphs: value.paragraphs, languages: value.languages});
      const corpus = Object.assign(make('textarea'), {rows: 4, value: mine.corpus ?? mine.paragraphs?.en ?? '', spellcheck: false, dir: 'auto', maxLength: 400000});
      const fill = picked([['', 'choose'], ...(mine.languages ?? []), ['all', 'all languages']], ''), kind = picked([['bpe', 'BPE'], ['unigram', 'Unigram'], ['wordpiece', 'WordPiece'], ['lib', 'LiB'], ['characters', 'character-level BPE']], mine.kind);
      const size = input('number', mine.size, {min: 260, max: 32000, step: 1}), whole = input('checkbox', '', {checked: mine.words});
      fill.addEventListener('change', () => { corpus.value = fill.value === 'all' ? Object.values(mine.paragraphs).join('\n') : mine.paragraphs[fill.value] ?? corpus.value; });
      const file = input('file', '', {accept: '.txt,text/plain'});
      file.addEventListener('change', async () => { if (file.files[0]) corpus.value = (await file.files[0].text()).slice(0, 400000); });
      const begin = () => { Object.assign(mine, {corpus: corpus.value, kind: kind.value, size: Number(size.value), words: whole.checked}); ask('train', {corpus: mine.corpus, kind: mine.kind, size: mine.size, words: mine.words, run: true}); };
      bar.append(label('Fill with the paragraph in', fill), label('or a text file', file), label('Kind', kind), label('Entries', size), label('No token beyond a word', whole), pressed('Train', begin));
      if (value.busy) busy(out, 'train', value, () => ask('train', {run: true, busy: value.busy}));
      if (value.error) error(out, value.error);
      if (value.html) {
        out.innerHTML = value.html;
        out.appendChild(pressed('Add it to the tokenizers above', () => add(value.name)));
      }
      host.replaceChildren(label('Text to train on', corpus, 'tk-cuts-text'), bar, out);
    };

    const letters = (host, value) => {
      const mine = kept.letters, bar = make('div', 'tk-cuts-bar'), out = make('div');
      mine.model ??= value.models[0];
      mine.words ??= value.words;
      const models = picked(value.models.map(name => [name, name]), mine.model), task = picked([['count', 'how many times'], ['find', 'at which position']], mine.task);
      const words = Object.assign(make('textarea'), {rows: 3, value: mine.words, spellcheck: false});
      const begin = () => { Object.assign(mine, {model: models.value, task: task.value, words: words.value}); ask('letters', {...mine, run: true}); };
      bar.append(label('Model', models), label('Question', task), pressed('Ask', begin));
      const cost = make('p', 'tk-sub', 'One pass of the model for each question, two questions for each word, four answered ones before each. The answers are scored by their probability; nothing is generated.');
      if (value.error) error(out, value.error);
      if (value.busy) busy(out, 'letters', value, () => ask('letters', {...mine, run: true}));
      if (value.said) out.insertAdjacentHTML('beforeend', value.said + value.html);
      host.replaceChildren(label('Words', words, 'tk-cuts-text'), bar, cost, out);
    };

    const mixture = T.mixtureView({ask, busy, state, make, label, picked, pressed, input, error});
    const sizes = T.sizesView({ask, busy, state, make, label, picked, pressed, input, error});
    const turkish = T.turkishView({ask, mine: kept.turkish, make, label, picked, error});
    const domain = T.domainView({ask, add, make, label, picked, pressed, input, error, busy});
    const extended = T.extendedView({ask, add, state, make, label, picked, pressed, input, error, busy});
    const added = T.newTokensView({ask, make, label, picked, pressed, input, error, busy, ran});
    const shows = {languages, score, byte, merges, train, letters, mixture, sizes, domain, turkish, extended, added};
    const begin = {languages: () => kept.languages, merges: () => kept.merges, score: () => ({}), byte: () => ({}), train: () => ({}), letters: () => ({}), mixture: () => ({}), sizes: () => ({}), domain: () => ({}), turkish: () => ({source: kept.turkish.source}), extended: () => ({}), added: () => ({open: state().run ?? ''})};
    const open = name => {
      now = name;
      panel.replaceChildren(box(name));
      if (name === 'steps') { box(name).innerHTML = state().steps; return; }
      if (!box(name).childElementCount) ask(name, begin[name]());
      paused[name]?.();
      delete paused[name];
    };
    const show = value => { if (shows[value.do]) shows[value.do](box(value.do), value); };
    const stale = () => {
      const names = state().with.join();
      for (const name of ['languages', 'merges', 'turkish', ...(names === asked ? [] : ['mixture', 'sizes', 'extended'])]) box(name).replaceChildren();
      asked = names;
      if (kept.merges.tokenizer && !state().with.includes(kept.merges.tokenizer)) delete kept.merges.tokenizer;
      if (begin[now] && !box(now).childElementCount) ask(now, begin[now]());
    };
    return {open, show, stale};
  };
})();
