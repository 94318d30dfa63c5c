// The SQL box: a query goes to Python, its answer is a table here and a figure beside it.
(() => {
  const T = window.tokenarium;
  if (T.query) return;
  const SHOWN = 200, CHARTS = [['bar', 'bars'], ['line', 'lines'], ['scatter', 'points']];
  const number = value => Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));

  T.query = (element, props, watch, trigger) => {
    const sql = element.querySelector('textarea'), examples = element.querySelector('.tk-sql-examples select');
    const form = element.querySelector('form'), table = element.querySelector('.tk-table');
    const count = element.querySelector('.tk-lib-count'), refused = element.querySelector('.tk-error');
    const questions = JSON.parse(decodeURIComponent(element.querySelector('[data-questions]').dataset.questions));
    let asked = 0, answer = null, wanted = null, ran = '';
    const send = (event, more) => {
      props.value = {visitor: T.visitor, reply: ++asked, ...more};
      trigger(event);
    };
    const refuse = words => { refused.textContent = words ?? ''; refused.hidden = !words; };
    const run = () => {
      ran = sql.value;
      count.textContent = 'Running…';
      refuse();
      send('answer', {sql: ran, chosen: wanted?.sql === ran ? wanted.chosen : null});
    };
    const file = format => {
      count.textContent = 'Preparing the file…';
      refuse();
      send('file', {sql: sql.value, format});
    };
    const cell = (tag, text, numeric) => {
      const made = document.createElement(tag);
      made.textContent = text;
      if (numeric) made.className = 'tk-sql-number';
      return made;
    };
    const fill = () => {
      const {names, columns, numeric} = answer, rows = Math.min(SHOWN, columns[0]?.length ?? 0);
      const made = document.createElement('table'), caption = made.createCaption(), head = made.createTHead().insertRow(), body = made.createTBody();
      caption.textContent = answer.said;
      names.forEach((name, place) => { const each = cell('th', name, numeric[place]); each.scope = 'col'; head.append(each); });
      for (let place = 0; place < rows; place += 1) {
        const row = body.insertRow();
        columns.forEach((column, at) => { const value = column[place]; const made = row.appendChild(cell('td', value === null ? 'NULL' : typeof value === 'number' ? '' : value, numeric[at])); if (typeof value === 'number') made.append(T.number(number(value), `column_${at} ${place}`, answer.of)); });
      }
      table.replaceChildren(made);
      table.hidden = !rows;
      T.scrolls(table, 'Result of the query');
    };
    const options = (name, choices, value) => {
      form.elements[name].replaceChildren(...choices.map(([key, title]) => new Option(title, key)));
      form.elements[name].value = value ?? choices[0]?.[0] ?? '';
    };
    const choices = () => {
      const names = answer.names.map(name => [name, name]), numbers = names.filter((_, place) => answer.numeric[place]);
      form.hidden = !numbers.length || names.length < 2;
      if (form.hidden) return;
      options('chart', CHARTS, answer.chosen?.chart);
      options('x', names, answer.chosen?.x);
      options('y', numbers, answer.chosen?.y);
      options('colour', [['', 'none'], ...names], answer.chosen?.colour);
    };
    const draw = () => {
      const chosen = Object.fromEntries(new FormData(form)), columns = {};
      for (const name of [chosen.x, chosen.y, chosen.colour]) if (name) columns[name] = answer.columns[answer.names.indexOf(name)];
      send('draw', {chosen, columns, of: answer.of, names: answer.names});
    };
    const show = () => {
      const found = props.value;
      if (!found?.shown || found.reply !== asked) return;
      refuse(found.refused);
      if (found.shown === 'file') {
        count.textContent = found.file ? `${found.file.name} is saved.` : '';
        if (found.file) T.download(Uint8Array.from(atob(found.file.base64), sign => sign.charCodeAt(0)), found.file.name, found.file.type);
      } else if (found.shown === 'answer') {
        count.textContent = found.said ?? '';
        answer = found.names ? found : null;
        table.hidden = form.hidden = true;
        if (answer) { fill(); choices(); }
      }
    };

    examples.addEventListener('change', () => {
      const question = questions[examples.value];
      if (!question) return;
      sql.value = question.sql;
      wanted = question;
      run();
    });
    sql.addEventListener('keydown', event => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
    });
    element.addEventListener('click', event => {
      const does = event.target.closest('[data-do]')?.dataset.do;
      if (does === 'answer') run(); else if (does) file(does);
    });
    form.addEventListener('change', draw);
    form.addEventListener('submit', event => event.preventDefault());
    watch('value', show);
  };
})();
