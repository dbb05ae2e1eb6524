//! The servers that the other tests use do what their paths say.
