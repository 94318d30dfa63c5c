// Who is here: a visitor's private name, made here, kept by this browser, never shown; and what the
// visitor takes along from page to page.
(() => {
  const T = window.tokenarium;
  if (T.visitor) return;
  const NAME = 'tokenarium_visitor', CARRIED = 'tokenarium_carried';
  const right = name => /^[0-9a-f]{32}$/.test(name ?? '');
  const kept = (store, key) => { try { return window[store].getItem(key); } catch { return null; } };
  const keep = (store, key, text) => { try { window[store].setItem(key, text); } catch { /* what cannot be kept lasts as long as the page */ } };
  const cookie = () => document.cookie.match(/(?:^|; )tokenarium_visitor=([0-9a-f]{32})/)?.[1];

  const known = [cookie(), kept('localStorage', NAME), kept('sessionStorage', NAME)].find(right);
  const name = known ?? [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('');
  keep('localStorage', NAME, name);
  const secure = location.protocol === 'https:' ? '; SameSite=None; Secure; Partitioned' : '; SameSite=Lax';
  document.cookie = `${NAME}=${name}; path=/; max-age=31536000${secure}`;
  // Where cookies are refused the name lives in this tab and goes along with every event.
  if (cookie() !== name) keep('sessionStorage', NAME, name);
  T.visitor = name;

  // Model and text go along to another page of this tab, if they are not just those of an example.
  const here = () => {
    const text = document.querySelector('#text textarea')?.value, model = document.querySelector('#model input')?.value;
    return text === undefined || model === undefined ? null : {text, model, turns: T.given?.()};
  };
  let first = null, tries = 150; // a page without a text never has one
  const settled = () => { first ??= here(); if (!first && tries--) setTimeout(settled, 200); };
  settled();
  // A model that is refused stays where it was typed: another page begins with one that can be had.
  const wrong = () => Boolean(document.querySelector('#pill :is(.tk-error, .tk-refused)'));
  window.addEventListener('pagehide', () => {
    const now = here();
    if (!now) return;
    if (wrong()) now.model = first && first.model !== now.model ? first.model : '';
    const own = kept('sessionStorage', CARRIED) || T.fromAddress().run || now.text !== first?.text || now.model !== first?.model || now.turns?.chat;
    if (own) keep('sessionStorage', CARRIED, JSON.stringify(now));
  });
  // What a page is told when it opens.
  T.arrival = () => {
    let carried = null;
    try { carried = JSON.parse(kept('sessionStorage', CARRIED)); } catch { /* then nothing is carried */ }
    return {query: location.search, visitor: name, carried};
  };
})();
