//! cgroup_skb, ingress and egress: every packet of every socket below the cgroup.
//!
//! When: ingress runs in `sk_filter`, before TCP's own checks; egress in `ip_output`, after TCP has
//! built the segment. Both since Linux 4.10, with socket storage since 5.2.
//! Misses: bytes that never become packets (sockets joined by a sockmap, unix sockets).

mod begin;
mod machine;
mod ordinary;
mod packet_hook;
mod shedding;
