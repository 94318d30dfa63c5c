// Buttons that choose something, such as in the rows of a table: each says which part of the selection.
(() => {
  const T = window.tokenarium;
  if (T.table) return;
  document.addEventListener('click', event => {
    const button = event.target.closest('[data-select]');
    if (!button) return;
    const chosen = JSON.parse(button.dataset.select);
    if ('point' in chosen) T.bus.emit('open', chosen.point); else T.select(chosen);
  });
  // A table as it stands, as a file: a row for every row, texts as they are read.
  const written = cell => cell.innerText.trim().replace(/\s+/g, ' ');
  const value = text => /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
  document.addEventListener('click', event => {
    const button = event.target.closest('.tk-csv'), table = button?.closest('table');
    if (!table) return;
    const names = [...table.tHead.rows[0].cells].map(written), name = T.captionOf(table).toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 60);
    // Two columns of one name are two columns of the file.
    const unique = names.map((title, at) => names.indexOf(title) === at ? title : `${title} (${at + 1})`);
    const rows = [...table.tBodies[0].rows].map(row => Object.fromEntries([...row.cells].map((cell, at) => [unique[at], value(written(cell))])));
    T.download(T.csv(rows), `${name || 'table'}.csv`, 'text/csv');
  });
  T.captionOf = table => [...table?.caption?.childNodes ?? []].filter(part => !part.classList?.contains('tk-csv')).map(part => part.textContent).join('') || 'Table';
  T.table = (element, props, watch) => {
    const host = element.querySelector('.tk-table-host');
    let drawn = '';
    // Rows of a view that is closed cost no nodes.
    const draw = () => {
      const found = element.clientWidth ? props.value ?? '' : '';
      if (found !== drawn) host.innerHTML = drawn = found;
      host.querySelectorAll('.tk-table').forEach(box => T.scrolls(box, T.captionOf(box.querySelector('table'))));
    };
    draw();
    watch('value', draw);
    new ResizeObserver(draw).observe(element);
  };
})();
