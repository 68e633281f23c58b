// Follow a stream of messages: a websocket that acknowledges each one, reconnects with back-off from
// where it was, gives way to server-sent events where websockets do not get through, and rests while
// the page is hidden for long.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const FAILURES_BEFORE_FALLBACK = 3;
const HIDDEN_REST_MS = 30000;
const NOT_LOGGED_IN = 4401;
const NO_SUCH_RUN = 4404;
const BAD_CURSOR = 4422;

export class Live {
  // `socketPath(after)` and `streamPath(after)` give addresses; without the latter there is no
  // fallback. `onMessage` gets each message, `onState` "live", "waiting" or "ended"; `onLost` is
  // called when the cursor is of no use any more, because the log is another one.
  constructor({ socketPath, streamPath, after = 0, onMessage, onState = () => {}, onLost = () => {} }) {
    Object.assign(this, { socketPath, streamPath, after, onMessage, onState, onLost });
    this.failures = 0;
    this.isEnded = false;
    this.open();
    document.addEventListener("visibilitychange", () => this.rest());
    document.body.addEventListener("rlgym:lost", () => this.hush());
    document.body.addEventListener("rlgym:found-again", () => this.wake());
  }

  open() {
    if (this.isEnded || this.socket || this.source) return;
    const isFallback = this.streamPath && this.failures >= FAILURES_BEFORE_FALLBACK;
    if (isFallback) this.openStream();
    else this.openSocket();
  }

  openSocket() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.socketPath(this.after)}`);
    this.socket = socket;
    let hasServed = false; // Some proxies let a socket open, and then nothing through.
    socket.onopen = () => {
      if (this.socket === socket) this.onState("live");
      else socket.close();
    };
    socket.onmessage = (event) => {
      if (this.socket !== socket) return;
      hasServed = true;
      this.failures = 0;
      const message = JSON.parse(event.data);
      this.take(message);
      const isOpen = socket.readyState === WebSocket.OPEN; // The last message ends the stream.
      if (message.id !== undefined && isOpen) socket.send(JSON.stringify({ ack: message.id }));
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (!hasServed) this.failures += 1;
      if (event.code === NOT_LOGGED_IN || event.code === NO_SUCH_RUN) this.end();
      else if (event.code === BAD_CURSOR) {
        this.end();
        this.onLost();
      }
      else this.again();
    };
  }

  openStream() {
    const source = new EventSource(this.streamPath(this.after));
    this.source = source;
    source.onopen = () => this.onState("live");
    source.onmessage = (event) => {
      const data = JSON.parse(event.data);
      const message = Array.isArray(data.events) || data.type === "end" ? data : { events: [data] };
      this.take({ id: event.lastEventId ? Number(event.lastEventId) : undefined, ...message });
    };
    source.onerror = () => {
      this.onState("waiting");
      // It reconnects by itself, but for an answer that is no stream: then it gives up for good.
      if (source.readyState !== EventSource.CLOSED || this.source !== source) return;
      this.source = null;
      this.again();
    };
  }

  take(message) {
    document.body.dispatchEvent(new CustomEvent("rlgym:heard"));
    if (Number.isFinite(message.id)) this.after = message.id;
    this.onMessage(message);
    const events = message.type ? [message] : (message.events ?? []);
    if (events.some((event) => event.type === "end")) this.end();
  }

  again() {
    if (this.isEnded || document.hidden) return;
    this.onState("waiting");
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.failures, LONGEST_WAIT_MS);
    setTimeout(() => this.open(), wait * (0.75 + Math.random() / 2));
  }

  close() {
    const { socket, source } = this;
    this.socket = null;
    this.source = null;
    // While it connects the browser would complain in the console: then it is closed once open.
    if (socket?.readyState !== WebSocket.CONNECTING) socket?.close();
    source?.close();
  }

  // The server is not heard from: a socket that hangs would never say so.
  hush() {
    if (this.isEnded) return;
    this.close();
    this.onState("waiting");
  }

  wake() {
    this.failures = 0;
    if (!document.hidden) this.open();
  }

  end() {
    this.isEnded = true;
    this.close();
    this.onState("ended");
  }

  rest() {
    clearTimeout(this.resting);
    if (document.hidden) this.resting = setTimeout(() => this.close(), HIDDEN_REST_MS);
    else this.open();
  }
}
