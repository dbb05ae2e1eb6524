// A `ws` server on the address that the argument names (127.0.0.1 without one). It sends messages back and, after the
// first one, or as many as the query says (?messages=N), ends the connection as the path says:
//
//   /server/CODE/...   with a close frame, /server/none/... with one without a code
//   /server/fin/...    with a FIN, /server/rst/... with an RST, and no close frame
// anything else        not at all: the client does
'use strict';

const { WebSocketServer } = require('ws');

const options = { host: process.argv[2] ?? '127.0.0.1', port: 0, perMessageDeflate: true };
const server = new WebSocketServer(options, () => {
  console.log(`listening ${server.address().port}`);
});

server.on('connection', (client, request) => {
  const url = new URL(request.url, 'ws://here.example');
  const [side, how] = url.pathname.slice(1).split('/');
  let left = Number(url.searchParams.get('messages') ?? 1);
  client.on('error', () => {});
  client.on('message', (data, binary) => {
    left -= 1;
    const last = left === 0;
    client.send(data, { binary }, () => {
      if (side !== 'server' || !last) {
        return;
      }
      if (how === 'fin') {
        request.socket.end();
      } else if (how === 'rst') {
        request.socket.resetAndDestroy();
      } else if (how === 'none') {
        client.close();
      } else {
        client.close(Number(how), 'because');
      }
    });
  });
});
