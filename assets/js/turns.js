// What the model reads: a text, or the turns of a conversation, each with its role.
(() => {
  const T = window.tokenarium;
  if (T.turns) return;
  const ROLES = ['system', 'user', 'assistant'];
  const make = (tag, more = {}) => Object.assign(document.createElement(tag), more);
  const plain = () => ({chat: false, turns: [], special_tokens: false});

  T.turns = (element, props, watch, edited) => {
    const [host, add, special] = ['.tk-turns', '.tk-add-turn', 'input[type=checkbox]'].map(found => element.querySelector(found));
    const modes = [...element.querySelectorAll('[role=radio]')];
    let told = plain(), drawn = '';
    const keep = () => { drawn = JSON.stringify(told); props.value = JSON.parse(drawn); };
    const tell = () => { keep(); edited(); };
    const row = (turn, number) => {
      const line = make('div', {className: 'tk-turn'});
      const role = make('select', {ariaLabel: `Role of turn ${number + 1}`});
      role.append(...ROLES.map(name => new Option(name, name, false, name === turn.role)));
      role.addEventListener('change', () => { turn.role = role.value; tell(); });
      const content = make('textarea', {rows: 2, value: turn.content, ariaLabel: `Turn ${number + 1}`});
      content.addEventListener('input', () => { turn.content = content.value; keep(); });
      content.addEventListener('change', tell);
      const gone = make('button', {type: 'button', textContent: '×', ariaLabel: `Remove turn ${number + 1}`});
      gone.addEventListener('click', () => { told.turns.splice(number, 1); draw(); tell(); });
      line.append(role, content, gone);
      return line;
    };
    const draw = () => {
      host.replaceChildren(...told.turns.map(row));
      for (const part of [host, add]) part.hidden = !told.chat;
      for (const mode of modes) mode.setAttribute('aria-checked', String(Boolean(mode.dataset.chat) === told.chat));
      special.checked = told.special_tokens;
      element.closest('.tk-runbar')?.classList.toggle('tk-chatting', told.chat);
    };
    for (const mode of modes) mode.addEventListener('click', () => {
      told.chat = Boolean(mode.dataset.chat);
      const typed = document.querySelector('#text textarea')?.value;
      if (told.chat && !told.turns.length) told.turns.push({role: 'user', content: typed ?? ''});
      draw();
      tell();
    });
    add.addEventListener('click', () => {
      const last = told.turns.at(-1)?.role;
      told.turns.push({role: last === 'user' ? 'assistant' : 'user', content: ''});
      draw();
      host.lastElementChild.querySelector('textarea').focus();
      tell();
    });
    special.addEventListener('change', () => { told.special_tokens = special.checked; tell(); });
    const heard = () => {
      const found = JSON.stringify(props.value ?? plain());
      if (found === drawn) return;
      drawn = found;
      told = {...plain(), ...JSON.parse(found)};
      draw();
    };
    T.given = () => JSON.parse(JSON.stringify(told));
    heard();
    watch('value', heard);
  };
})();
