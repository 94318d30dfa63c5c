// The Library: filters, pages and the list that Python makes; what can be done to a run in it.
(() => {
  const T = window.tokenarium;
  if (T.library) return;

  T.library = (element, props, watch, trigger) => {
    const form = element.querySelector('form'), list = element.querySelector('.tk-lib-found');
    const count = element.querySelector('.tk-lib-count'), said = element.querySelector('.tk-lib-said');
    const link = element.querySelector('.tk-lib-compare');
    const compared = new Map(); // by run, its kind: kept over pages and searches
    let asked = 0, page = 0, waits = 0;
    const filters = () => Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    // In a frame of another site the address says so still, and the history is that site's.
    const kept = T.embed ? [...new URL(location.href).searchParams].filter(([name]) => ['embed', '__theme'].includes(name)) : [];
    const send = (event, more = {}) => {
      props.value = {filters: filters(), page, visitor: T.visitor, reply: ++asked, ...more};
      trigger(event);
    };
    // A filter that is chosen is a step of the history; what is typed letter by letter is one.
    const search = (to = 0, how = 'pushState') => {
      clearTimeout(waits);
      page = to;
      const url = new URL(location.href);
      url.search = new URLSearchParams([...Object.entries(filters()), ...kept]);
      if (url.href !== location.href) history[T.embed ? 'replaceState' : how](how === 'pushState' ? {} : history.state, '', url);
      send('ask');
    };
    const fill = (field, value) => {
      if (field.type === 'checkbox') { field.checked = Boolean(value); return; }
      if (field.options && ![...field.options].some(option => option.value === value)) field.append(new Option(value, value));
      field.value = value;
    };
    window.addEventListener('popstate', () => {
      const query = new URL(location.href).searchParams;
      for (const field of form.elements) if (field.name) fill(field, query.get(field.name) ?? '');
      page = 0;
      send('ask');
    });
    const filter = (name, value) => {
      fill(form.elements[name], value);
      search();
    };

    const comparing = () => {
      for (const box of list.querySelectorAll('[data-compare]')) box.checked = compared.has(box.closest('[data-run]').dataset.run);
      const kinds = new Set(compared.values()), able = compared.size > 1 && kinds.size === 1 && link.dataset.page;
      link.hidden = !compared.size || !link.dataset.page;
      link.textContent = compared.size < 2 ? 'Choose a second run to compare' : kinds.size > 1 ? 'Choose runs of one kind to compare' : `Compare ${compared.size} runs`;
      if (able) link.href = `${link.dataset.page}?runs=${[...compared.keys()].join(',')}`; else link.removeAttribute('href');
    };
    // The list is drawn anew: what was open stays open, and what had the focus has it again.
    const place = () => {
      const at = document.activeElement, row = at?.closest?.('[data-run]');
      return row && list.contains(row) ? {run: row.dataset.run, what: at.dataset.do ?? at.dataset.input ?? (at.tagName === 'SUMMARY' ? 'summary' : '')} : null;
    };
    const row = id => list.querySelector(`[data-run="${CSS.escape(id)}"]`);
    const redraw = html => {
      const open = [...list.querySelectorAll('details[open]')].map(each => each.closest('[data-run]').dataset.run);
      const before = place();
      list.innerHTML = html;
      for (const id of open) row(id)?.querySelector('details')?.setAttribute('open', '');
      const now = before && row(before.run);
      const found = now && (now.querySelector(`[data-do="${before.what}"], [data-input="${before.what}"]`) ?? now.querySelector('summary, a'));
      if (found) found.focus(); else if (before) form.elements.text.focus();
      comparing();
    };
    const choose = choices => {
      for (const [name, options] of Object.entries(choices)) {
        const field = form.elements[name], kept = field.value;
        field.replaceChildren(new Option('any', ''), ...options.map(([value, title]) => new Option(title, value)));
        if (kept && !options.some(([value]) => value === kept)) field.append(new Option(kept, kept));
        field.value = kept;
      }
    };
    const show = () => {
      const found = props.value;
      if (!found?.shown || !found.act && found.reply !== asked) return;
      if (found.choices) choose(found.choices);
      for (const [name, value] of Object.entries(found.filters ?? {})) {
        if (form.elements[name]) fill(form.elements[name], value);
      }
      const words = found.refused ?? found.said ?? '';
      said.textContent = words;
      said.hidden = !words;
      said.classList.toggle('tk-error', Boolean(found.refused));
      if (found.rows === undefined || found.reply !== asked) return;
      if (found.act && found.said === 'Deleted.') compared.delete(found.run);
      page = found.page;
      count.innerHTML = found.count;
      element.querySelector('[data-do="before"]').disabled = !page;
      element.querySelector('[data-do="next"]').disabled = !found.more;
      element.querySelector('.tk-lib-turn').hidden = !page && !found.more;
      redraw(found.rows);
      T.pressed.arrived();
    };

    const act = (target, does, words) => send('act', {do: does, run: target.closest('[data-run]').dataset.run, said: words});
    const typed = (target, name) => target.closest('[data-run]').querySelector(`[data-input="${name}"]`).value;
    // Deleting asks once.
    const button = (does, text) => {
      const made = Object.assign(document.createElement('button'), {type: 'button', textContent: text});
      made.dataset.do = does;
      return made;
    };
    const instead = (pressed, ...buttons) => { pressed.parentElement.replaceChildren(...buttons); buttons.at(-1).focus(); };
    const sure = pressed => instead(pressed, button('sure', 'Delete for good'), button('keep', 'Keep'));
    const keep = pressed => instead(pressed, button('delete', 'Delete'));
    const does = {
      before: () => search(page - 1),
      next: () => search(page + 1),
      method: pressed => filter('method', pressed.dataset.value),
      tagged: pressed => filter('tag', pressed.dataset.value),
      pin: pressed => act(pressed, 'pin', ''),
      unpin: pressed => act(pressed, 'unpin', ''),
      tag: pressed => act(pressed, 'tag', typed(pressed, 'tag')),
      untag: pressed => act(pressed, 'untag', pressed.dataset.value),
      note: pressed => act(pressed, 'note', typed(pressed, 'note')),
      delete: sure,
      keep,
      sure: pressed => act(pressed, 'delete', ''),
    };
    element.addEventListener('click', event => {
      const pressed = event.target.closest('[data-do]');
      if (pressed) does[pressed.dataset.do]?.(pressed);
    });
    list.addEventListener('change', event => {
      const box = event.target.closest('[data-compare]');
      if (!box) return;
      const id = box.closest('[data-run]').dataset.run;
      if (box.checked) compared.set(id, box.dataset.compare); else compared.delete(id);
      comparing();
    });
    list.addEventListener('keydown', event => {
      if (event.key === 'Enter' && event.target.dataset.input === 'tag') { event.preventDefault(); act(event.target, 'tag', event.target.value); }
    });
    form.addEventListener('submit', event => { event.preventDefault(); search(); });
    form.addEventListener('reset', () => setTimeout(() => search()));
    form.addEventListener('input', event => {
      clearTimeout(waits);
      const typed = event.target.name === 'text';
      waits = setTimeout(() => search(0, typed && new URL(location.href).searchParams.has('text') ? 'replaceState' : 'pushState'), typed ? 250 : 0);
    });
    element.querySelector('.tk-lib-turn').hidden = true;
    watch('value', show);
    show();
  };
})();
