// One visitor of the demo's chat: `client.js URL ORIGIN ADDRESS`. Prints what a user would see.
'use strict';

const WebSocket = require('ws');

const [url, origin, address] = process.argv.slice(2);
const client = new WebSocket(url, {
  origin,
  headers: { 'User-Agent': 'Mozilla/5.0 (as a browser says it)' },
  rejectUnauthorized: false, // the demo's certificate is self-signed
  lookup: (_name, options, done) =>
    options.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4),
});
client.on('open', () => client.send('hello from a Node client'));
client.on('message', (text) => {
  console.log(`connected, and got "${text}"`);
  client.close();
});
client.on('error', (error) => console.log(error.message || error.code));
