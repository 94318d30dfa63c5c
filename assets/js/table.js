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
  T.table = (element, props, watch) => {
    const host = element.querySelector('.tk-table-host');
    let drawn = '';
    // Rows of a view that is closed cost no nodes.
    const draw = () => {
      const found = element.clientWidth ? props.value ?? '' : '';
      if (found !== drawn) host.innerHTML = drawn = found;
      host.querySelectorAll('.tk-table').forEach(box => T.scrolls(box, box.querySelector('caption')?.textContent || 'Table'));
    };
    draw();
    watch('value', draw);
    new ResizeObserver(draw).observe(element);
  };
})();
