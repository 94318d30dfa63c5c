// Unpacks what the file carries: scripts first, then the run.
(() => {
  const unpacked = async id => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), sign => sign.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
  };
  const run = text => document.head.appendChild(Object.assign(document.createElement('script'), {textContent: text}));
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const theme = () => document.body.classList.toggle('dark', dark.matches);
  theme();
  dark.addEventListener('change', theme);
  Promise.all(['tk-plotly', 'tk-scripts', 'tk-run'].map(unpacked)).then(([plotly, scripts, data]) => {
    run(plotly);
    run(scripts);
    window.tokenarium.begin(JSON.parse(data));
  }).catch(error => { document.querySelector('.tk-wait').textContent = `This browser cannot open the file: ${error.message}`; throw error; });
})();
