//! The leg into a proxy and the leg to its backend, joined by `Sec-WebSocket-Key`: what the proxy changed.
