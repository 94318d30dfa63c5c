// A file of the visitor's, read here: nothing is uploaded but its text.
(() => {
  const T = window.tokenarium;
  if (T.chosenFile) return;
  const MOST = 1_000_001; // one more than may be read, so that a longer one is refused in words
  T.chosenFile = (element, props, trigger) => {
    element.addEventListener('change', async event => {
      const [file] = event.target.files ?? [];
      if (!file) return;
      props.value = (await file.slice(0, 4 * MOST).text()).slice(0, MOST);
      trigger('file');
    });
  };
})();
