// Shared by all tabs of a browser: it owns the stream of events, so that a hundred tabs cost one connection. Tabs greet, say now and then that they live, and are forgotten when they don't.
import { apiUrl } from './base.js';
import { openSource } from './source.js';

const FORGET_MS = 200000; // hidden tabs may be let speak but once a minute
const ports = new Map();  // port → when it was last heard

function tell(message) {
  for (const port of ports.keys())
    port.postMessage(message);
}

const source = openSource(apiUrl(['events']), tell);

setInterval(() => {
  const old = Date.now() - FORGET_MS;
  for (const [port, heard] of ports)
    if (heard < old)
      ports.delete(port);
}, FORGET_MS / 4);

self.addEventListener('connect', (e) => {
  const port = e.ports[0];
  port.addEventListener('message', ({ data }) => {
    if (data === 'bye') {
      ports.delete(port);
      return;
    }
    if (!ports.has(port))
      port.postMessage(source.state());
    ports.set(port, Date.now());
    if (data === 'hurry')
      source.hurry();
  });
  port.start();
});
