//! The hooks. The default family: cgroup_skb both ways and sock_ops, attached to the cgroup v2 root. The
//! probe family: the kernel's functions that send, receive and close.

mod cgroup_skb;
mod probe;
mod sock_ops;
mod tls;
