// Gradio hears the answers to all that a page asks from one stream, which the server ends when nothing
// is left to say. What was asked while that end is on its way is answered into a stream that nobody
// hears: the press would wait for the next one. Such a stream is opened again here, and goes on.
(() => {
  if (window.tokenarium.stream) return;
  const JOIN = /\/queue\/join$/, DATA = /\/queue\/data$/, ENDED_MS = 1000, HEAD = 300;
  const whole = window.fetch.bind(window);
  const asked = new Set(), early = new Set(); // events without their last message; last messages that came before the event's name
  let ending = Promise.resolve();

  const path = what => new URL(what?.url ?? what, document.baseURI).pathname;
  const kind = message => message.slice(0, HEAD).match(/^data: ?\{"msg":"(\w+)"/)?.[1];
  const event = message => message.slice(0, HEAD).match(/"event_id":"([^"]+)"/)?.[1];

  const join = async (what, init) => {
    const answer = await whole(what, init);
    const told = await answer.clone().json().catch(() => null);
    await ending; // Gradio's client has to know of an end before it decides whether a stream is open
    if (told?.event_id && !early.delete(told.event_id)) asked.add(told.event_id);
    return answer;
  };

  const hear = message => {
    const name = event(message);
    if (kind(message) === 'process_completed' && name && !asked.delete(name)) early.add(name);
    if (kind(message) === 'unexpected_error') asked.clear(); // the session is gone, and what it asked
  };
  const closes = message => kind(message) === 'close_stream';
  const ends = signal => {
    ending = new Promise(done => {
      signal?.addEventListener('abort', done, {once: true});
      setTimeout(done, ENDED_MS);
    });
  };

  const data = async (what, init) => {
    const first = await whole(what, init);
    if (!first.ok || !first.body) return first;
    const read = new TextDecoder(), write = new TextEncoder();
    let reader = first.body.getReader(), rest = '';
    const pull = async out => {
      for (;;) {
        const {value, done} = await reader.read();
        if (done) { if (rest) out.enqueue(write.encode(rest)); out.close(); return; }
        const parts = (rest + read.decode(value, {stream: true})).split('\n\n');
        rest = parts.pop();
        parts.forEach(hear);
        const end = parts.some(closes), goes = end && asked.size > 0;
        const said = goes ? parts.filter(message => !closes(message)) : parts;
        if (said.length) out.enqueue(write.encode(said.map(message => `${message}\n\n`).join('')));
        if (goes) reader = (await whole(what, init)).body.getReader();
        else if (end) { ends(what.signal ?? init?.signal); out.close(); reader.cancel(); return; }
        if (said.length) return;
      }
    };
    const body = new ReadableStream({pull, cancel: why => reader.cancel(why)});
    return new Response(body, {status: first.status, headers: first.headers});
  };

  window.fetch = (what, init) => {
    const at = path(what);
    return JOIN.test(at) ? join(what, init) : DATA.test(at) ? data(what, init) : whole(what, init);
  };
  window.tokenarium.stream = {asked};
})();
