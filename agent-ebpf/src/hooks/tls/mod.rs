//! The TLS family: what programs pass to TLS libraries and get from them, as plaintext.
//!
//! When: as a call of the library begins and returns, in the program's own time. A connection is a process and its TLS
//! object (OpenSSL's `SSL`, Go's `tls.Conn`); bytes come in order and once, so it goes through the machine as a unix socket's.
//! Misses: connections that were under way when the library was probed lose what came before; kernel TLS (SSL_sendfile).
//!
//! The programs load for uprobe_multi links (Linux 6.6) and for perf uprobes alike.

mod binding;
mod c;
mod calls;
mod end;
mod go;
mod socket;
