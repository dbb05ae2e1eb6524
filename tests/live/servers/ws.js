// The live tests' backend: what a path says is what happens, and /counts tells how often.
//
//   /accept/...        101, and every message is sent back
//   /reject/STATUS     that status, with a body of one line
//   /ignore            200, as to an ordinary request
//   /redirect          302 to the same path elsewhere
//   /silent            the connection ends without a byte
//   /hang              no answer
//   /counts            GET: the handshakes so far, {"accept": n, "reject/403": n, ...}
// anything else        `ws` decides by itself (`verifyClient: false`, so 401)
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const { WebSocketServer } = require('ws');

const counts = {};
const accepting = new WebSocketServer({ noServer: true });
const refusing = new WebSocketServer({ noServer: true, verifyClient: () => false });

// With a folder that has a certificate, over TLS.
const folder = process.argv[4];
const options = folder && {
  key: fs.readFileSync(`${folder}/key.pem`),
  cert: fs.readFileSync(`${folder}/cert.pem`),
};
const server = (folder ? https : http).createServer(options || {}, (request, response) => {
  if (request.url === '/counts') {
    response.end(JSON.stringify(counts));
    return;
  }
  // A request whose Upgrade was taken away is an ordinary one here, as in any Node server.
  if ('sec-websocket-key' in request.headers) {
    count('plain');
  }
  response.writeHead(request.url.startsWith('/missing') ? 404 : 200);
  response.end('an ordinary page\n');
});

server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy());
  // The target may be in absolute form (RFC 9112 section 3.2.2).
  const [kind, status] = new URL(request.url, 'http://here').pathname.slice(1).split('/');
  count(status ? `${kind}/${status}` : kind);
  switch (kind) {
    case 'accept':
      accepting.handleUpgrade(request, socket, head, (client) => {
        client.on('message', (data, binary) => client.send(data, { binary }));
      });
      break;
    case 'reject':
      answer(socket, Number(status), 'text/plain', 'not today\n');
      break;
    case 'ignore':
      answer(socket, 200, 'text/html', '<!doctype html><title>page</title>\n');
      break;
    case 'redirect':
      answer(socket, 302, 'text/plain', '', 'Location: https://elsewhere.example/accept\r\n');
      break;
    case 'silent':
      socket.destroy();
      break;
    case 'hang':
      break;
    default:
      refusing.handleUpgrade(request, socket, head, () => {});
  }
});

function answer(socket, status, type, body, more = '') {
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Type: ${type}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${more}Connection: close\r\n\r\n${body}`,
  );
}

function count(kind) {
  counts[kind] = (counts[kind] || 0) + 1;
}

// Requests with heads up to 64 KiB are answered like any other.
server.maxHeadersCount = 0;
server.keepAliveTimeout = 60_000;
// Arguments: address, port, folder. `::` is every address of the host, IPv4's included.
server.listen(Number(process.argv[3] || 0), process.argv[2] || '127.0.0.1', () => {
  console.log(`listening ${server.address().port}`);
});
