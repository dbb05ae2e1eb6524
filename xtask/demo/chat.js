// The demo's application: a small chat on `ws`, behind a proxy that terminates TLS.
//
// It is as strict about origins as many frameworks are: a page may open the chat from the
// application's own origin, or from one on the allow-list. What its own origin is, it learns from
// the proxy: the scheme from X-Forwarded-Proto, the name from Host.
'use strict';

const http = require('http');
const { WebSocketServer } = require('ws');

// Hosts of partners; the scheme is the one that the visitor uses.
const allowedHosts = ['partner.example'];

const page = `<!doctype html><title>chat</title><p id="state">connecting</p><script>
  const chat = new WebSocket('wss://' + location.host + '/chat');
  chat.onmessage = (message) => { document.getElementById('state').textContent = message.data; };
  const [browser] = navigator.userAgent.match(/\\S*Chrome\\S*/) || ['a browser'];
  chat.onopen = () => chat.send('hello from ' + browser);
</script>`;

const server = http.createServer((request, response) => {
  if (request.url === '/') {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end(page);
  } else {
    // A plain GET on the chat's own path.
    response.writeHead(426, { 'Content-Type': 'text/plain', Upgrade: 'websocket' });
    response.end('Upgrade Required');
  }
});

const chat = new WebSocketServer({ noServer: true });

server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy());
  if (request.httpVersion !== '1.1') {
    refuse(socket, 505, `expected HTTP/1.1, got HTTP/${request.httpVersion}`);
    return;
  }
  const refusal = originRefusal(request.headers);
  if (refusal) {
    refuse(socket, 403, refusal);
    return;
  }
  chat.handleUpgrade(request, socket, head, (client) => {
    client.on('message', (text) => {
      console.log(`message ${text}`);
      client.send(`chat: ${text}`);
    });
  });
});

function originRefusal(headers) {
  if (!headers.origin) {
    return 'missing Origin header';
  }
  const scheme = (headers['x-forwarded-proto'] || 'http').split(',')[0].trim();
  const allowed = [headers.host, ...allowedHosts].map((host) => `${scheme}://${host}`);
  if (!allowed.includes(headers.origin)) {
    return `invalid Origin header: ${headers.origin}; expected ${allowed.join(' or ')}`;
  }
  return null;
}

function refuse(socket, status, reason) {
  const body = `${reason}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
