//! Where this kernel keeps what the probe family reads: offsets and values that user space takes from the
//! kernel's own type information (BTF) and writes into the programs before they are loaded. Nothing
//! here is a constant of any kernel.

/// One number that the programs need of the running kernel.
///
/// Offsets are in bytes. A member is written as `structure.member`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// `msghdr.msg_iter`, and in it, counted from the `msghdr`: the kind of iterator.
    IterKind,
    /// What of the four bytes at [`Field::IterKind`] is the kind.
    IterKindMask,
    /// How far into its first element an iterator is.
    IterOffset,
    /// How many bytes an iterator has left.
    IterCount,
    /// How many elements it has.
    IterElements,
    /// Where its elements are, or its one buffer.
    IterVector,
    /// The value of `ITER_IOVEC`: elements in user memory.
    Iovec,
    /// The value of `ITER_KVEC`: elements in kernel memory.
    Kvec,
    /// The value of `ITER_UBUF`: one buffer in user memory; [`NONE`] where there is none (before 6.0).
    Ubuf,
    /// `iovec.iov_base` (`kvec`'s is the same).
    ElementBase,
    /// `iovec.iov_len`.
    ElementLen,
    /// The size of an `iovec`.
    ElementSize,
    /// `socket.sk`.
    SocketSock,
    /// `sock.sk_family`.
    Family,
    /// `sock.sk_state`.
    State,
    /// `sock.sk_shutdown`.
    Shutdown,
    /// `sock.sk_err`.
    Error,
    /// `sock.sk_receive_queue.qlen`.
    Unread,
    /// `sock.sk_num`, in host byte order.
    LocalPort,
    /// `sock.sk_dport`, in network byte order.
    PeerPort,
    /// `sock.sk_rcv_saddr`.
    LocalV4,
    /// `sock.sk_daddr`.
    PeerV4,
    /// `sock.sk_v6_rcv_saddr`.
    LocalV6,
    /// `sock.sk_v6_daddr`.
    PeerV6,
    /// `unix_sock.addr`.
    UnixAddress,
    /// `unix_sock.peer`.
    UnixPeer,
    /// `unix_address.len`, with the two bytes of the family.
    UnixLen,
    /// `unix_address.name[0].sun_path`.
    UnixPath,
    /// `tcp_sock.write_seq`: the sequence number of the next byte that a program writes.
    WriteSeq,
    /// `tcp_sock.copied_seq`: of the next byte that a program reads.
    CopiedSeq,
    /// `tcp_sock.rcv_nxt`: of the next byte that comes.
    ReceivedSeq,
    /// How many arguments `unix_stream_sendmsg` has; what it returns comes behind them.
    UnixSendArguments,
    /// Of `unix_stream_recvmsg`.
    UnixReceiveArguments,
    /// Of `tcp_recvmsg`: 6 before 5.19, then 5, then 4.
    TcpReceiveArguments,
    /// Which argument of `tcp_recvmsg` has the flags.
    TcpReceiveFlags,
}

/// The value of what a kernel does not have.
pub const NONE: u32 = u32::MAX;

/// How many fields there are.
pub const FIELDS: usize = Field::TcpReceiveFlags as usize + 1;

/// All of them; the place of each is its number.
pub type Layout = [u32; FIELDS];
