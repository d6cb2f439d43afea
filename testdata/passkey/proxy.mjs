// A proxy that keeps every byte which passes it: what leaves the browser, and what comes back to it. It leads to this
// computer alone.

import { Agent, createServer, request as ask } from 'node:http';
import { connect, createServer as listen } from 'node:net';

/** For a Chromium that may not go around the proxy, also not to this computer itself. */
export const proxied = (proxy) => [`--proxy-server=http://127.0.0.1:${proxy.port}`, '--proxy-bypass-list=<-loopback>'];

export async function startProxy() {
  const sent = [];
  const received = [];
  const sockets = new Set();
  const agent = new Agent({ keepAlive: true });

  // Plain requests: the address becomes the path, as the server wants it.
  const inner = createServer((request, response) => {
    const url = new URL(request.url);
    if (url.hostname !== 'localhost') {
      response.writeHead(403).end();
      return;
    }
    const onward = ask({
      agent, host: url.hostname, port: url.port || 80, method: request.method, path: url.pathname + url.search,
      headers: request.rawHeaders.reduce((all, value, at, list) => (at % 2 || /^proxy-/i.test(value) ? all : [...all, value, list[at + 1]]), []),
    }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  // What is encrypted could not be looked into: a browser that asks its maker for updates gets nothing.
  inner.on('connect', (request, socket) => { socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'); });
  await new Promise((resolve) => { inner.listen(0, '127.0.0.1', resolve); });

  // In front of it, every byte as it comes, before anybody understands it.
  const front = listen((socket) => {
    const onward = connect(inner.address().port, '127.0.0.1');
    sockets.add(socket).add(onward);
    const [out, back] = [[], []];
    sent.push(out);
    received.push(back);
    socket.on('data', (bytes) => { out.push(bytes); });
    onward.on('data', (bytes) => { back.push(bytes); });
    socket.pipe(onward).pipe(socket);
    for (const one of [socket, onward]) {
      one.on('error', () => {});
      one.on('close', () => { socket.destroy(); onward.destroy(); });
    }
  });
  await new Promise((resolve) => { front.listen(0, '127.0.0.1', resolve); });

  const joined = (connections) => Buffer.concat(connections.flatMap((parts) => [...parts, Buffer.from('\n\n')]));
  return {
    port: front.address().port,
    /** All that left the browser. */
    sent: () => joined(sent),
    /** All that came back to it: what left the program among it. */
    received: () => joined(received),
    close() {
      agent.destroy();
      for (const socket of sockets) socket.destroy();
      front.close();
      inner.closeAllConnections();
      inner.close();
    },
  };
}
