// Presses of buttons are never lost: what a button began is said on it until it is over, a press
// meanwhile is answered in words, and one that comes before the page has opened its run waits for it.
(() => {
  const T = window.tokenarium;
  if (T.pressed) return;
  const BEGINS = 'button.tk-begins', HELD = 'button, .tk-token, [data-select]', FRAMES = 2, WAIT_MS = 10000;
  const GOING = 'Running…', SAID_MS = 6000;
  const begun = new Set(), going = new Set(), said = new WeakMap();
  // An address without a query names nothing that would have to be opened first.
  let arrived = !location.search, held = [];

  const section = button => button.id === 'run' ? 'run' : button.id.match(/^(.+)-run$/)?.[1];
  const busy = button => begun.has(button.id) || going.has(section(button));
  const words = button => section(button)
    ? 'A run is going: wait for its end, or press Cancel first.' : 'This is being worked on: wait for its end.';

  const say = (button, text) => {
    const line = said.get(button) ?? Object.assign(document.createElement('span'), {className: 'tk-answer'});
    line.setAttribute('role', 'status');
    said.set(button, line);
    if (!line.isConnected) button.after(line);
    line.textContent = text;
    clearTimeout(line.timer);
    line.timer = setTimeout(() => line.remove(), SAID_MS);
  };
  // Only the text is changed: Gradio knows its own nodes, and what it wrote into them last.
  const label = button => [...button.childNodes].find(node => node.nodeType === Node.TEXT_NODE && node.nodeValue.trim());
  const show = () => document.querySelectorAll(BEGINS).forEach(button => {
    const now = busy(button), text = label(button);
    if (!text || now === (button.getAttribute('aria-disabled') === 'true')) return;
    if (now) {
      button.dataset.said = text.nodeValue;
      text.nodeValue = GOING;
      button.setAttribute('aria-disabled', 'true');
    } else {
      text.nodeValue = button.dataset.said;
      button.removeAttribute('aria-disabled');
      said.get(button)?.remove();
    }
  });

  const press = event => {
    const pressed = event.target.closest?.(HELD);
    if (!pressed) return;
    if (!arrived) {
      event.preventDefault();
      event.stopImmediatePropagation();
      held.push({one: pressed, told: pressed.outerHTML, part: pressed.closest('[id]')?.id});
      document.body.classList.add('tk-arriving');
      return;
    }
    const button = pressed.closest(BEGINS);
    if (!button) return;
    if (busy(button)) {
      event.preventDefault();
      event.stopImmediatePropagation();
      say(button, words(button));
      return;
    }
    begun.add(button.id);
    show();
  };
  document.addEventListener('click', press, true);

  // A link opens at the section whose run it names last; a visitor who moved meanwhile, or comes back, stays.
  const land = () => {
    const [visit] = performance.getEntriesByType('navigation');
    if (visit?.type !== 'navigate' || scrollY || new URL(location.href).searchParams.has('lesson')) return;
    document.getElementById(`${T.named().at(-1)}-section`)?.scrollIntoView({block: 'start'});
  };
  const drawn = frames => new Promise(done => {
    const next = left => left ? (document.hidden ? setTimeout : requestAnimationFrame)(() => next(left - 1)) : setTimeout(done);
    next(frames);
  });
  // What was pressed, or what stands in its place since the run was opened: by its name, else the same words there.
  const again = ({one, told, part}) => {
    if (one.isConnected) return one;
    const within = document.getElementById(part);
    return one.id ? within : [...within?.querySelectorAll(HELD) ?? []].find(each => each.outerHTML === told);
  };
  T.pressed = {
    // What a button began is over, whether or not it went well.
    over: id => { begun.delete(id); show(); },
    // The page has opened what its address names, or cannot.
    arrived: async () => {
      if (arrived) return;
      await drawn(FRAMES);
      arrived = true;
      document.body.classList.remove('tk-arriving');
      land();
      T.bus.emit('arrived', {});
      const waiting = held;
      held = [];
      waiting.forEach(each => again(each)?.click());
    },
  };
  // A page whose opening is never heard of must not stay deaf.
  setTimeout(() => T.pressed.arrived(), WAIT_MS);
  // A run that is found again after the page was left goes on too, though no button began it here.
  T.bus.on('going', ({section: name, on}) => { going[on ? 'add' : 'delete'](name); show(); });
})();
