//! Every chore of the project, as `cargo xtask <chore>`.
fn main() {}
