// Node's `ws` with a list of allowed origins, as its README shows it; every path below /node_ws/chat/.
// `ws` answers a plain request by itself (426), and an unserved path, and a refused client.
'use strict';

const { WebSocketServer } = require('ws');

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  verifyClient: ({ origin, req }, answer) => {
    if (req.url.includes('token=expired')) return answer(false, 401, 'Token expired');
    answer(process.env.ALLOWED.split(' ').includes(origin), 401);
  },
});
server.shouldHandle = (request) => request.url.startsWith('/node_ws/chat/');
server.on('listening', () => console.log(`listening ${server.address().port}`));
