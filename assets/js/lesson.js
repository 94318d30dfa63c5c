// A lesson beside the real page: what its step says, what the student's selection shows by it, and
// which steps were passed in this browser. Nothing is asked for where the address names no lesson.
(() => {
  const T = window.tokenarium;
  if (T.lesson) return;
  const KEPT = 'tokenarium_lessons', FOLDED = 'tokenarium_lesson_folded', WAIT_MS = 250, STEP_HEIGHT = 620, WIDE = '(min-width: 1200px)';
  const read = (store, key) => { try { return JSON.parse(window[store].getItem(key)); } catch { return null; } };
  const write = (store, key, value) => { try { window[store].setItem(key, JSON.stringify(value)); } catch { /* lasts as long as the page */ } };
  const passed = lesson => (read('localStorage', KEPT) ?? {})[lesson] ?? [];
  const pass = (lesson, step) => {
    const all = read('localStorage', KEPT) ?? {};
    write('localStorage', KEPT, {...all, [lesson]: [...new Set([...passed(lesson), step])]});
  };
  const asked = () => {
    const query = new URL(location.href).searchParams, lesson = query.get('lesson');
    return lesson ? {lesson, step: Number(query.get('lesson_step') ?? 1)} : null;
  };
  const make = (tag, more = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), more);
    made.append(...inside);
    return made;
  };
  const button = (what, text, more = {}) => {
    const made = make('button', {type: 'button', textContent: text, ...more});
    made.dataset.do = what;
    return made;
  };
  const copy = async (text, say) => {
    try { await navigator.clipboard.writeText(text); say('Link copied.'); } catch { say(text); }
  };

  let ready = !location.search;
  T.bus.on('arrived', () => { ready = true; });

  T.lesson = (element, server) => {
    const where = make('span', {className: 'tk-lesson-where'}), name = make('h2', {tabIndex: -1}), line = make('p', {className: 'tk-lesson-line'});
    const fold = button('fold', '', {className: 'tk-lesson-fold'});
    const body = make('div', {className: 'tk-lesson-body'}), said = make('p', {className: 'tk-lesson-said'});
    const learned = make('p', {className: 'tk-lesson-learned'}), hints = make('ol', {className: 'tk-lesson-hints'});
    said.setAttribute('role', 'status');
    const hint = button('hint', 'Hint'), back = button('back', '← Back'), next = button('next', 'Next →', {className: 'tk-lesson-next'});
    const again = button('again', 'Start again', {title: 'Open this step as it began'}), link = button('link', 'Copy link');
    const dots = make('ol', {className: 'tk-lesson-dots'});
    const done = make('span', {className: 'tk-lesson-copied'});
    done.setAttribute('role', 'status');
    const inside = make('div', {className: 'tk-lesson-inside', id: 'lesson-inside'}, dots, body, said, learned, hints,
      make('div', {className: 'tk-lesson-buttons'}, hint, again, link, done), make('div', {className: 'tk-lesson-buttons'}, back, next));
    const aside = make('aside', {className: 'tk-lesson', hidden: true},
      make('div', {className: 'tk-lesson-bar'}, make('div', {}, where, name, line), fold, button('close', '×', {ariaLabel: 'Close the lesson'})), inside);
    aside.setAttribute('aria-label', 'Lesson');
    fold.setAttribute('aria-controls', 'lesson-inside');
    element.append(aside);

    let now = null, shown = null, over = false, looked = false, waits = false, judged = 0, timer = 0, given = 0;
    const folded = on => {
      aside.classList.toggle('tk-folded', on);
      fold.setAttribute('aria-expanded', String(!on));
      fold.textContent = on ? '▲ Open' : '▼ Fold';
    };
    // Steps of a frame lead to steps in a frame; what is computed, to the whole page.
    const inFrame = address => {
      const url = new URL(address, location.href), theme = new URL(location.href).searchParams.get('__theme');
      url.searchParams.set('embed', 'lesson');
      if (theme) url.searchParams.set('__theme', theme);
      return url;
    };
    const open = on => {
      aside.hidden = !on;
      if (!on) look('');
      dispatchEvent(new Event('resize')); // the figures beside it have another width
    };
    // What the step is about is scrolled to, once the page has opened it.
    const look = id => {
      document.querySelectorAll('.tk-looked').forEach(part => part.classList.remove('tk-looked'));
      const part = id && document.getElementById(id);
      if (!part) return;
      part.classList.add('tk-looked');
      if (!T.embed) part.scrollIntoView({block: 'start'}); // a frame would scroll the page around it
      else if (getComputedStyle(aside).position === 'fixed') scrollTo({top: part.getBoundingClientRect().top + scrollY - 16});
    };
    const hear = ({passed: right, said: words, learned: more}) => {
      line.textContent = said.textContent = `${right ? '✓ ' : ''}${words}`;
      said.classList.toggle('tk-right', right);
      learned.innerHTML = more ?? '';
      over = right;
      if (!right) return;
      pass(now.lesson, now.step);
      mark();
      // What was found may stand below what a run takes.
      const [low, high] = [learned, inside].map(part => part.getBoundingClientRect().bottom);
      if (low > high) inside.scrollTop += Math.min(low - high + 12, said.offsetTop - inside.offsetTop - inside.scrollTop);
    };
    const judge = async () => {
      const mine = ++judged, question = shown?.asks ? answer() : null;
      if (!shown || over) return;
      // An answer that is given before the page stands is judged once it does.
      waits = Boolean(shown.asks) && (!ready || Boolean(T.running.run));
      if (!ready || T.running.run) return;
      const found = await server.lesson_check({...now, state: T.told(), answer: question});
      if (mine === judged) hear(found);
    };
    const settle = () => {
      if (ready && shown && !looked) {
        looked = true;
        look(shown.look);
        // Tab goes on in the lesson: it would begin at what was scrolled to, perhaps a table of numbers.
        if (!T.embed && document.activeElement === document.body) name.focus({preventScroll: true});
      }
      if (shown && (!shown.asks || waits)) judge();
    };
    const later = () => { clearTimeout(timer); timer = setTimeout(settle, WAIT_MS); };
    const answer = () => body.querySelector('#lesson-answer')?.value ?? body.querySelector('[name=lesson-answer]:checked')?.value ?? '';

    const mark = () => {
      const known = passed(now.lesson);
      dots.replaceChildren(...shown.names.map((title, place) => {
        const dot = make('a', {href: shown.addresses[place], textContent: known.includes(place + 1) ? '✓' : String(place + 1), title});
        dot.setAttribute('aria-label', `Step ${place + 1}: ${title}${known.includes(place + 1) ? ', passed' : ''}`);
        if (place + 1 === now.step) dot.setAttribute('aria-current', 'step');
        dot.dataset.to = place + 1;
        return make('li', {}, dot);
      }));
    };
    // A step of the run that is shown moves the page; another page, or another run, is opened whole.
    const go = address => {
      if (T.embed) { location.assign(inFrame(address)); return; }
      const url = new URL(address, location.href), runs = [...new Set(['run', ...Object.keys(T.told().runs)])];
      const here = url.pathname === location.pathname && runs.every(key => (url.searchParams.get(key) ?? null) === (T.state[key] ?? null));
      if (!here) { location.assign(url); return; }
      history.pushState({}, '', url);
      dispatchEvent(new PopStateEvent('popstate'));
    };
    const load = async moved => {
      const wanted = asked(), mine = ++given;
      if (JSON.stringify(wanted) === JSON.stringify(now)) { if (moved) { over = false; later(); } return; }
      now = wanted;
      shown = null;
      if (!now) { open(false); return; }
      const found = await server.lesson_step(now);
      if (mine !== given) return;
      aside.classList.toggle('tk-no-lesson', Boolean(found.missing));
      // Where only the lesson is named, its step opens as it begins: else what happens to be selected may pass it.
      const begins = new URL(found.addresses?.[now.step - 1] ?? '', location.href);
      const bare = !T.embed && [...new URL(location.href).searchParams.keys()].every(key => key.startsWith('lesson'));
      if (!found.missing && bare && begins.href !== location.href) { location.replace(begins); return; }
      open(true);
      if (found.missing) {
        for (const part of [where, line, said, learned, hints, dots]) part.replaceChildren();
        name.textContent = 'No such lesson';
        body.replaceChildren(found.missing, ' ', make('a', {href: 'learn', textContent: 'All lessons'}));
        return;
      }
      shown = found;
      over = looked = waits = false;
      line.textContent = found.do;
      where.textContent = `${found.title} · step ${now.step} of ${found.names.length}`;
      name.textContent = found.name;
      body.innerHTML = found.html;
      if (T.embed && found.live) body.append(make('p', {className: 'tk-lesson-whole'}, 'A frame computes nothing: ', make('a', {href: begins.href, textContent: 'do this step in Tokenarium ↗'}), '.'));
      for (const part of [said, learned, hints]) part.replaceChildren();
      said.classList.remove('tk-right');
      hint.disabled = false;
      back.disabled = now.step === 1;
      next.textContent = now.step < found.names.length ? 'Next →' : T.embed ? 'All lessons ↗' : 'Finish';
      inside.scrollTop = 0;
      mark();
      if (moved) name.focus({preventScroll: true});
      later();
    };
    const does = {
      fold: () => { folded(!aside.classList.contains('tk-folded')); write('sessionStorage', FOLDED, aside.classList.contains('tk-folded')); },
      close: () => {
        const url = new URL(location.href);
        for (const key of ['lesson', 'lesson_step']) url.searchParams.delete(key);
        history.pushState(history.state, '', url);
        load();
      },
      hint: () => {
        hints.insertAdjacentHTML('beforeend', `<li>${shown.hints[hints.children.length]}</li>`);
        hint.disabled = hints.children.length === shown.hints.length;
        hints.lastChild.setAttribute('tabindex', '-1');
        hints.lastChild.focus({preventScroll: true});
        hints.lastChild.scrollIntoView({block: 'nearest'});
      },
      check: judge,
      back: () => go(shown.addresses[now.step - 2]),
      again: () => { over = false; learned.replaceChildren(); go(shown.addresses[now.step - 1]); },
      next: () => now.step < shown.names.length ? go(shown.addresses[now.step]) : T.embed ? window.open(new URL('learn', location.href), '_blank', 'noopener') : location.assign(new URL('learn', location.href)),
      link: () => copy(T.link(), text => { done.textContent = text; }),
    };
    aside.addEventListener('click', event => {
      const {do: what, to} = event.target.closest('button, a')?.dataset ?? {};
      if (!what && !to || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      if (to) go(shown.addresses[to - 1]); else does[what]?.();
    });
    aside.addEventListener('submit', event => { event.preventDefault(); judge(); });
    // What of it can stand in a frame, as the parts of the page.
    T.framedLesson = () => shown ? [{name: 'lesson', named: 'This step, with what it is about', alone: true, elements: [{offsetHeight: STEP_HEIGHT}]}] : [];
    folded(!matchMedia(WIDE).matches && read('sessionStorage', FOLDED) === true);
    window.addEventListener('popstate', () => load(true));
    for (const heard of ['select', 'show', 'going', 'arrived']) T.bus.on(heard, later);
    if (asked()) load();
  };

  // A hand-out is made by the server when it is asked for, and saved from here.
  const paper = async (lesson, server, say) => {
    say('Preparing…');
    const text = await server.lesson_handout({lesson});
    const made = make('a', {href: URL.createObjectURL(new Blob([text], {type: 'text/html'})), download: `tokenarium-lesson-${lesson}.html`});
    made.click();
    URL.revokeObjectURL(made.href);
    say('Downloaded.');
  };

  // The Learn page: how far this browser came in every lesson, and the link of each.
  T.learn = (element, server) => {
    for (const card of element.querySelectorAll('[data-lesson]')) {
      const steps = Number(card.dataset.steps), known = passed(card.dataset.lesson).filter(step => step <= steps);
      const line = card.querySelector('.tk-learned'), begin = card.querySelector('.tk-begin');
      line.textContent = known.length ? `${known.length} of ${steps} steps passed` : `${steps} steps`;
      card.classList.toggle('tk-whole', known.length === steps);
      const first = Array.from({length: steps}, (_, place) => place + 1).find(step => !known.includes(step));
      if (known.length && first) { begin.textContent = 'Go on'; begin.href = card.querySelectorAll('.tk-steps a')[first - 1].href; }
    }
    element.addEventListener('click', event => {
      const what = event.target.closest('button')?.dataset.do, card = event.target.closest('[data-lesson]');
      const say = text => { card.querySelector('.tk-lesson-copied').textContent = text; };
      if (what === 'link') copy(card.querySelector('.tk-steps a').href, say);
      if (what === 'paper') paper(card.dataset.lesson, server, say);
      if (what === 'embed') T.embedding([{name: 'lesson', named: 'Its steps, each with what it is about', elements: [{offsetHeight: STEP_HEIGHT}]}], card.querySelector('.tk-steps a').href);
    });
    T.pressed.arrived(); // the cards stand, whatever the address says of a class
  };
})();
