// A class: the code that a student's browser remembers, and the teacher's table, which is asked for
// again while somebody looks at it. Who the student is goes along with every event as the visitor's
// private name, of which the server keeps a digest alone.
(() => {
  const T = window.tokenarium;
  if (T.classroom) return;
  const KEPT = 'tokenarium_class', AGAIN_MS = 10_000;
  const read = () => { try { return JSON.parse(localStorage.getItem(KEPT)) ?? {}; } catch { return {}; } };
  const secure = location.protocol === 'https:' ? '; SameSite=None; Secure; Partitioned' : '; SameSite=Lax';
  const keep = found => {
    try { localStorage.setItem(KEPT, JSON.stringify(found)); } catch { /* then the cookie has the code */ }
    document.cookie = `${KEPT}=${found.code ?? ''}; path=/; max-age=${found.code ? 14 * 86_400 : 0}${secure}`;
    T.group = found.code ?? null;
  };
  T.group = read().code ?? document.cookie.match(/(?:^|; )tokenarium_class=([A-Z0-9]{6})/)?.[1] ?? null;
  const make = (tag, more = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), more);
    made.append(...inside);
    return made;
  };
  const link = (name, value) => {
    const url = new URL('learn', location.href);
    url.searchParams.set(name, value);
    return url.href;
  };

  T.classroom = (element, server) => {
    const said = element.querySelector('.tk-class-said'), table = element.querySelector('.tk-class-table');
    const code = element.querySelector('#class-code'), title = element.querySelector('#class-title');
    const say = (...parts) => said.replaceChildren(...parts);
    const copying = (address, name) => {
      const button = make('button', {type: 'button', textContent: 'Copy'});
      button.setAttribute('aria-label', `Copy the ${name}`);
      button.addEventListener('click', async () => {
        try { await navigator.clipboard.writeText(address); button.textContent = 'Copied'; } catch { button.textContent = 'Select it and copy'; }
      });
      return make('span', {className: 'tk-class-link'}, make('a', {href: address, textContent: address}), button);
    };
    const here = found => {
      const leave = make('button', {type: 'button', textContent: 'Leave the class'});
      leave.addEventListener('click', () => { keep({}); code.value = ''; say('You left the class.'); code.focus(); });
      say(`You are student ${found.number} of ${found.title || `class ${found.code}`}. Your teacher sees which steps this number passed, and nothing else. `, leave);
    };
    const join = async typed => {
      const found = await server.class_join({code: typed, visitor: T.visitor});
      if (found.refused) { if (read().code) keep({}); say(found.refused); return; }
      keep(found);
      code.value = found.code;
      here(found);
    };
    const begin = async () => {
      const found = await server.class_begin({title: title.value});
      if (found.refused) { say(found.refused); return; }
      const students = link('class', found.code), teacher = link('teacher', found.secret);
      say(make('strong', {textContent: `Code of the class: ${found.code}`}), make('br'), 'For students: ', copying(students, "students' link"), make('br'),
        'For you alone, it opens the table (keep it, it is shown once): ', copying(teacher, "teacher's link"), make('br'), `All is deleted on ${found.until}.`);
      said.tabIndex = -1;
      said.focus();
    };

    let secret = new URL(location.href).searchParams.get('teacher'), newest = null, timer = 0;
    const file = () => {
      const place = make('a', {href: URL.createObjectURL(new Blob([newest.csv], {type: 'text/csv'})), download: `class-${newest.code}.csv`});
      place.click();
      setTimeout(() => URL.revokeObjectURL(place.href), 1000);
    };
    const remove = async () => {
      if (!confirm('Delete the class and all that is kept of it? This cannot be undone.')) return;
      const found = await server.class_delete({secret});
      secret = null;
      clearTimeout(timer);
      table.hidden = true;
      say(found.deleted ?? found.refused);
    };
    const shown = make('div'), save = make('button', {type: 'button', textContent: 'Table as CSV'}), gone = make('button', {type: 'button', textContent: 'Delete the class'});
    save.addEventListener('click', file);
    gone.addEventListener('click', remove);
    const look = async () => {
      clearTimeout(timer);
      if (!secret) return;
      if (!document.hidden) {
        const found = await server.class_table({secret});
        if (found.refused) { say(found.refused); return; }
        newest = found;
        const scroll = shown.querySelector('.tk-class-scroll'), [left, top] = [scroll?.scrollLeft ?? 0, scroll?.scrollTop ?? 0];
        shown.innerHTML = found.html;
        shown.querySelector('.tk-class-scroll')?.scrollTo(left, top);
        if (!table.childElementCount) table.append(shown, save, gone);
        table.hidden = false;
      }
      timer = setTimeout(look, AGAIN_MS);
    };

    element.addEventListener('submit', event => {
      event.preventDefault();
      if (event.target.dataset.do === 'join') join(code.value); else begin();
    });
    const asked = new URL(location.href).searchParams.get('class');
    if (asked) join(asked); else if (read().number) { code.value = read().code; here(read()); }
    look();
  };
})();
