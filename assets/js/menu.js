// A button that opens a menu: by mouse, or by keyboard as menus are used (arrows, Home, End, Escape).
(() => {
  const T = window.tokenarium;
  if (T.menu) return;
  const make = (tag, name, text) => Object.assign(document.createElement(tag), {className: name, textContent: text ?? ''});
  const EDGE = 8;
  let shut = () => {};

  const filled = (menu, groups) => menu.replaceChildren(...groups.filter(({rows}) => rows.length).map(({title, rows}, place) => {
    const group = make('div', 'tk-menu-group'), name = group.appendChild(make('p', 'tk-menu-title', title));
    name.id = `${menu.id}-${place}`;
    group.setAttribute('role', 'group');
    group.setAttribute('aria-labelledby', name.id);
    group.append(...rows.map(({label, items}) => {
      const row = make('div', 'tk-menu-row');
      row.setAttribute('role', 'presentation');
      if (label) row.appendChild(make('span', 'tk-menu-label', label));
      row.append(...items.map(({text, name, go}) => {
        const item = Object.assign(make('button', '', text), {type: 'button', tabIndex: -1});
        item.setAttribute('role', 'menuitem');
        if (name) item.setAttribute('aria-label', name);
        item.addEventListener('click', () => { shut(true); go(); });
        return item;
      }));
      return row;
    }));
    return group;
  }));

  // ``groups`` is asked when the menu opens: titles with rows of items, each {text, name, go}.
  T.menu = (button, groups) => {
    const menu = Object.assign(make('div', 'tk-menu'), {id: `${button.id || 'tk-menu'}-of-${document.querySelectorAll('.tk-menu').length}`});
    menu.setAttribute('role', 'menu');
    menu.setAttribute('aria-label', button.getAttribute('aria-label') || button.textContent);
    menu.popover = 'manual'; // in the browser's top layer, where nothing clips it
    button.setAttribute('aria-haspopup', 'menu');
    button.setAttribute('aria-expanded', 'false');
    button.after(menu);

    const place = () => {
      const at = button.getBoundingClientRect(), below = innerHeight - at.bottom - EDGE, above = at.top - EDGE;
      menu.style.maxHeight = `${Math.max(120, Math.max(below, above) - EDGE)}px`;
      const wide = menu.offsetWidth, tall = menu.offsetHeight;
      menu.style.left = `${Math.max(EDGE, Math.min(at.right - wide, innerWidth - wide - EDGE))}px`;
      menu.style.top = `${tall <= below || below >= above ? at.bottom + 4 : Math.max(EDGE, at.top - tall - 4)}px`;
    };
    const away = event => { if (!menu.contains(event.target) && !button.contains(event.target)) close(false); };
    const moved = event => { if (event.target !== menu) place(); };
    const close = back => {
      if (!menu.matches(':popover-open')) return;
      menu.hidePopover();
      menu.replaceChildren();
      button.setAttribute('aria-expanded', 'false');
      document.removeEventListener('pointerdown', away, true);
      removeEventListener('scroll', moved, true);
      removeEventListener('resize', place);
      if (back) button.focus();
    };
    const items = () => [...menu.querySelectorAll('[role=menuitem]')];
    const open = last => {
      shut();
      shut = close;
      filled(menu, groups());
      menu.showPopover();
      place();
      button.setAttribute('aria-expanded', 'true');
      document.addEventListener('pointerdown', away, true);
      addEventListener('scroll', moved, true);
      addEventListener('resize', place);
      items().at(last ? -1 : 0)?.focus({preventScroll: true});
    };
    button.addEventListener('click', () => { if (menu.matches(':popover-open')) close(true); else open(); });
    button.addEventListener('keydown', event => {
      if (!['ArrowDown', 'ArrowUp'].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      open(event.key === 'ArrowUp');
    });
    // Up and down go from row to row, left and right inside of one.
    const moves = {
      ArrowDown: (all, row) => all.find(item => item.parentElement === (row.nextElementSibling ?? row.parentElement.nextElementSibling?.querySelector('.tk-menu-row'))) ?? all[0],
      ArrowUp: (all, row) => {
        const before = row.previousElementSibling?.matches('.tk-menu-row') ? row.previousElementSibling : [...row.parentElement.previousElementSibling?.children ?? []].at(-1);
        return all.find(item => item.parentElement === before) ?? all.find(item => item.parentElement === all.at(-1).parentElement);
      },
      ArrowRight: (all, row, now) => now.nextElementSibling ?? now,
      ArrowLeft: (all, row, now) => now.previousElementSibling?.matches('button') ? now.previousElementSibling : now,
      Home: all => all[0],
      End: all => all.at(-1),
    };
    menu.addEventListener('keydown', event => {
      event.stopPropagation(); // the page's own keys rest meanwhile
      if (event.key === 'Escape') { event.preventDefault(); close(true); return; }
      if (event.key === 'Tab') { close(true); return; }
      const now = document.activeElement, row = now?.closest('.tk-menu-row');
      if (!row || !moves[event.key]) return;
      event.preventDefault();
      moves[event.key](items(), row, now)?.focus();
    });
  };
})();
