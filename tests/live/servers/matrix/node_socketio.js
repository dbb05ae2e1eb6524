// socket.io with a list of allowed origins in `allowRequest`: its `cors` option does not stop a WebSocket.
'use strict';

const http = require('http');
const { Server } = require('socket.io');

const server = http.createServer((request, response) => {
  response.writeHead(404).end('no such page\n');
});
new Server(server, {
  path: '/node_socketio/socket.io',
  allowRequest: ({ headers }, answer) =>
    answer(null, process.env.ALLOWED.split(' ').includes(headers.origin)),
});
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
