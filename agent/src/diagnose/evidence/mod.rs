//! What other exchanges show about one: the other legs of the same handshake, and what its server did with others.

pub(in crate::diagnose) mod changes;
pub(in crate::diagnose) mod context;
pub mod legs;
pub mod population;
