//! The hooks of the default family: cgroup_skb both ways and sock_ops, attached to the cgroup v2 root.

pub mod skb;
mod sock_ops;
