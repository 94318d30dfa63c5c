// A quality line: dragged on a figure, moved by the keyboard, or typed as a number. All of them are one.
(() => {
  const T = window.tokenarium;
  if (T.qualityLine) return;
  const STEPS = 200;
  const rounded = value => Number(value.toPrecision(3));

  T.qualityLine = (frame, host, told) => {
    let handle = null, dragging = false, line = null;
    const axis = () => host._fullLayout?.yaxis;
    const put = () => {
      const ax = axis(), size = host._fullLayout._size;
      const top = size.t + Math.max(0, Math.min(ax._length, ax.l2p(line)));
      Object.assign(handle.style, {top: `${top}px`, left: `${size.l}px`, width: `${size.w}px`});
      const [low, high] = [...ax.range].sort((a, b) => a - b), sign = told().higher ? '≥' : '≤';
      handle.firstChild.textContent = `${sign} ${rounded(line)}`;
      for (const [name, value] of Object.entries({valuemin: low, valuemax: high, valuenow: line, valuetext: `${told().higher ? 'at least' : 'at most'} ${rounded(line)}`}))
        handle.setAttribute(`aria-${name}`, value);
    };
    const move = (wanted, done) => {
      const [low, high] = [...axis().range].sort((a, b) => a - b);
      line = rounded(Math.max(0, low, Math.min(high, wanted)));
      put();
      T.bus.emit('quality', {line, done});
    };
    const make = () => {
      handle = frame.appendChild(document.createElement('div'));
      handle.className = 'tk-quality';
      handle.append(document.createElement('span'));
      for (const [name, value] of Object.entries({role: 'slider', tabindex: 0, 'aria-orientation': 'vertical', 'aria-label': 'Quality line'})) handle.setAttribute(name, value);
      const at = event => axis().p2l(event.clientY - host.getBoundingClientRect().top - host._fullLayout._size.t);
      handle.addEventListener('pointerdown', event => { dragging = true; handle.setPointerCapture(event.pointerId); event.preventDefault(); handle.focus(); });
      handle.addEventListener('pointermove', event => { if (dragging) move(at(event), false); });
      handle.addEventListener('pointerup', event => { if (dragging) { dragging = false; move(at(event), true); } });
      handle.addEventListener('pointercancel', () => { dragging = false; quality(); });
      handle.addEventListener('keydown', event => {
        const [low, high] = [...axis().range].sort((a, b) => a - b), step = (high - low) / STEPS;
        const by = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10}[event.key];
        if (by === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        move(line + by * step, true);
      });
    };
    const quality = () => {
      const found = told();
      if (handle) handle.hidden = !found;
      if (!found || !axis()?.range || dragging) return;
      if (!handle) make();
      line = found.line;
      put();
    };
    T.bus.on('quality', detail => { if (handle && !handle.hidden && !dragging && detail.line !== line && axis()) { line = detail.line; put(); } });
    return quality;
  };

  T.qualityBox = (element, props, watch, edited) => {
    const host = element.querySelector('.tk-quality-box'), typed = host.querySelector('input'), what = host.querySelector('.tk-quality-what');
    let waits = 0, wanted = null;
    const tell = line => {
      props.value = {...props.value, line};
      T.select({line: `${props.value.measure}:${line}`}, 'replaceState');
      edited();
    };
    // What the address asks for: a measure too, perhaps another than the one that is drawn.
    const asked = () => {
      const [, measure, line] = /^(\w+):([\d.e+-]+)$/.exec(T.state.line ?? '') ?? [];
      const found = props.value;
      if (!line || !found || !T.state.sweep || wanted === T.state.line) return;
      wanted = T.state.line;
      if (measure === found.measure && Number(line) === found.line) return;
      setTimeout(() => { // Python is told what is shown first
        props.value = {...found, line: Number(line), wanted: measure};
        edited();
      });
    };
    typed.addEventListener('change', () => { if (typed.value !== '' && typed.checkValidity()) tell(Number(typed.value)); else typed.reportValidity(); });
    // Keys that are held down ask once.
    T.bus.on('quality', ({line, done}) => {
      if (!props.value) return;
      typed.value = line;
      clearTimeout(waits);
      if (done) waits = setTimeout(() => tell(line), 250);
    });
    const draw = () => {
      const found = props.value;
      host.hidden = !found;
      if (!found) return;
      Object.assign(typed, {value: found.line, min: found.low, max: found.high ?? '', step: 'any'});
      what.textContent = `${found.title} ${found.higher ? 'at least' : 'at most'}`;
    };
    draw();
    asked();
    watch('value', () => { draw(); asked(); });
    T.bus.on('select', asked);
  };
})();
