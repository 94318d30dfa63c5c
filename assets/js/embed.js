// Parts of a page in a frame of another site: small, with a link to the whole page at the same state.
// On the whole page, what makes such a frame.
(() => {
  const T = window.tokenarium;
  if (T.embedding) return;
  const embed = T.embed = window.tokenariumEmbed ?? null;
  const make = (tag, name, more = {}) => Object.assign(document.createElement(tag), {className: name, ...more});

  if (embed) {
    document.documentElement.classList.add('tk-embed');
    document.documentElement.classList.toggle('tk-alone', embed.ids.length === 1);
    const link = make('a', 'tk-whole', {target: '_blank', rel: 'noopener', textContent: 'Open in Tokenarium ↗'});
    const follow = () => { link.href = T.link(); };
    T.bus.on('select', follow);
    // Until something is chosen, the state is what stands in the address.
    const url = new URL(location.href);
    for (const name of ['embed', '__theme']) url.searchParams.delete(name);
    link.href = url.href;
    // The frame shows this part and nothing else: whatever leads away opens beside its page.
    document.addEventListener('click', event => {
      const leads = event.target.closest('a[href]');
      if (leads) Object.assign(leads, {target: '_blank', rel: 'noopener'});
    }, true);
    const stand = () => {
      const main = document.querySelector('.gradio-container main');
      if (!main) { requestAnimationFrame(stand); return; }
      main.append(link);
    };
    document.addEventListener('DOMContentLoaded', stand);
    if (document.readyState !== 'loading') stand();
  }

  const LINK = 44, LEAST = 120, WIDE = 900;
  const frame = (views, state) => {
    const url = new URL(state);
    url.searchParams.set('embed', views.map(({name}) => name).join(','));
    const height = Math.max(LEAST, Math.ceil(views.flatMap(({elements}) => elements).reduce((sum, {offsetHeight}) => sum + offsetHeight + 16, LINK)));
    const address = url.href.replace(/%2C/g, ',').replace(/&/g, '&amp;').replace(/"/g, '&quot;');
    return `<iframe src="${address}" width="${WIDE}" height="${height}" style="border:0;max-width:100%" loading="lazy" title="Tokenarium"></iframe>`;
  };
  // Asks which of the views in sight shall be shown, each with its ``name`` in an address, what it is
  // called and its ``elements``, and gives the text to paste. One that is ``alone`` is chosen by itself at first.
  T.embedding = (views, state = T.link()) => {
    const dialog = make('dialog', 'tk-embedding'), code = make('textarea', '', {readOnly: true, rows: 5}), choices = make('div', 'tk-embed-choices');
    dialog.setAttribute('aria-label', 'Embed');
    code.setAttribute('aria-label', 'Text to paste into a page');
    const boxes = views.map((view, place) => {
      const label = make('label', ''), box = make('input', '', {type: 'checkbox', checked: place < (views[0].alone ? 1 : 2), onchange: () => fill()});
      label.append(box, ` ${view.named}`);
      choices.append(label);
      return box;
    });
    const fill = () => {
      const picked = views.filter((_, place) => boxes[place].checked);
      code.value = picked.length ? frame(picked, state) : 'Choose at least one part.';
    };
    const copy = make('button', '', {type: 'button', textContent: 'Copy', onclick: async () => {
      code.select();
      try { await navigator.clipboard.writeText(code.value); T.say('Copied.'); } catch { T.say('Copy the marked text.'); }
    }});
    const shut = make('button', '', {type: 'button', textContent: 'Close', onclick: () => dialog.close()});
    dialog.append(make('h2', '', {textContent: 'Embed'}), make('p', 'tk-sub', {textContent: 'Parts to show in a page of yours, with a link back to this state. They can be looked at, not computed.'}), choices, code, copy, shut);
    dialog.addEventListener('close', () => dialog.remove());
    dialog.addEventListener('keydown', event => event.stopPropagation());
    document.querySelector('.gradio-container').append(dialog);
    fill();
    dialog.showModal();
  };
})();
