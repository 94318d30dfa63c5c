// A table whose rows choose something: a button in the row says which part of the selection.
(() => {
  const T = window.tokenarium;
  if (T.table) return;
  T.table = element => element.addEventListener('click', event => {
    const button = event.target.closest('[data-select]');
    if (!button) return;
    const chosen = JSON.parse(button.dataset.select);
    if ('point' in chosen) T.bus.emit('open', chosen); else T.select(chosen);
  });
})();
