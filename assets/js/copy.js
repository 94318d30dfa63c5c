// Buttons that copy a text which they carry: settings, lines of Python.
(() => {
  const T = window.tokenarium;
  if (T.copy) return;
  // Without the right to the clipboard, such as over plain HTTP, the text is shown to be copied by hand.
  const shown = text => {
    const box = document.createElement('dialog'), area = document.createElement('textarea'), close = document.createElement('button');
    box.className = 'tk-copied';
    Object.assign(area, {value: text, readOnly: true, rows: Math.min(16, text.split('\n').length + 1), ariaLabel: 'Text to copy'});
    Object.assign(close, {type: 'button', textContent: 'Close', onclick: () => box.close()});
    box.append(area, close);
    box.addEventListener('close', () => box.remove());
    document.body.append(box);
    box.showModal();
    area.select();
  };
  T.copy = async button => {
    const text = button.dataset.copy, said = button.textContent;
    try { await navigator.clipboard.writeText(text); } catch { shown(text); return; }
    button.textContent = 'Copied';
    button.setAttribute('aria-live', 'polite');
    setTimeout(() => { button.textContent = said; }, 2000);
  };
  document.addEventListener('click', event => {
    const button = event.target.closest('[data-copy]');
    if (button && button.textContent !== 'Copied') T.copy(button);
  });
})();
