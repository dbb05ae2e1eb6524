// `ws` clients for `closing.js` and `closing.py`: runs plans, as many at a time as the first argument says, from
// the file that the second names, one JSON object a line, then those of the third and fourth, and so on, and prints a
// line for what became of each:
//
//   {"path": .., "url": "ws://..", "len": bytes of the one message, "deflate": whether permessage-deflate is
//    offered, "ends": whether the client ends it, "how": "1000" | "none" | "fin" | "rst"}
//   -> {"path": .., "open": true} once the message came back
//   -> {"path": .., "code": what the library says when the connection is closed}
'use strict';

const { randomFillSync } = require('crypto');
const { readFileSync } = require('fs');
const { WebSocket } = require('ws');

// Half of it compresses, half does not.
const noise = Buffer.alloc(1 << 20, '{"type":"tick"}');
randomFillSync(noise, 0, noise.length / 2);

function end(client, how) {
  if (how === 'fin') {
    client._socket.end();
  } else if (how === 'rst') {
    client._socket.resetAndDestroy();
  } else if (how === 'none') {
    client.close();
  } else {
    client.close(Number(how), 'because');
  }
}

function live(plan) {
  return new Promise((done) => {
    const options = { perMessageDeflate: plan.deflate, origin: 'https://end.example' };
    const client = new WebSocket(plan.url, options);
    const from = (noise.length - plan.len) >> 1;
    client.on('open', () => client.send(noise.subarray(from, from + plan.len)));
    client.on('message', () => {
      console.log(JSON.stringify({ path: plan.path, open: true }));
      if (plan.ends) {
        end(client, plan.how);
      }
    });
    client.on('error', (error) => console.error(plan.path, error.message));
    client.on('close', (code) => {
      console.log(JSON.stringify({ path: plan.path, code }));
      done();
    });
  });
}

async function run(atOnce, file) {
  const plans = readFileSync(file, 'utf8').split('\n').filter(Boolean).map(JSON.parse);
  const worker = async () => {
    while (plans.length > 0) {
      await live(plans.pop());
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

(async () => {
  for (let at = 2; at < process.argv.length; at += 2) {
    await run(Number(process.argv[at]), process.argv[at + 1]);
  }
})();
