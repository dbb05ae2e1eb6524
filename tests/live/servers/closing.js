// A `ws` server that sends the first message back and then ends the connection as the path says:
//
//   /server/CODE/...   with a close frame, /server/none/... with one without a code
//   /server/fin/...    with a FIN, /server/rst/... with an RST, and no close frame
// anything else        not at all: the client does
'use strict';

const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => {
  console.log(`listening ${server.address().port}`);
});

server.on('connection', (client, request) => {
  const [side, how] = request.url.slice(1).split('/');
  client.on('error', () => {});
  client.once('message', (data, binary) => {
    client.send(data, { binary }, () => {
      if (side !== 'server') {
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
