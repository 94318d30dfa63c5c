// The run bar is one line until it is used: its text has the focus, or Change was pressed.
(() => {
  const T = window.tokenarium;
  if (T.change) return;
  T.change = element => {
    const button = element.querySelector('.tk-change'), bar = element.closest('.tk-runbar');
    const open = on => {
      bar.classList.toggle('tk-open', on);
      button.setAttribute('aria-expanded', String(on));
      button.textContent = on ? 'Close' : 'Change';
    };
    button.addEventListener('click', () => open(!bar.classList.contains('tk-open')));
    bar.addEventListener('focusin', event => { if (event.target.closest('#text textarea')) open(true); });
    open(false);
  };
})();
