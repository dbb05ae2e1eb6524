//! Live tests: the real agent on this kernel, with real servers and raw clients.

mod servers;
