//! What the probe family must know of the running kernel, from its BTF. What is missing is named, and
//! nothing is guessed.

use wstap_common::layout::{FIELDS, Field, Layout, NONE};

use super::btf::Types;

/// Where each field comes from.
enum From {
    /// A member of a structure; the size in bytes that the programs expect.
    Member(&'static str, &'static str, u32),
    /// One of the members that has been called differently, the newest name first.
    Either(&'static str, &'static [&'static str], u32),
    /// The size of a structure.
    Size(&'static str),
    /// The value of an enum's constant.
    Value(&'static str),
    /// The value of one that older kernels do not have.
    Newer(&'static str),
    /// How many arguments a function has.
    Arguments(&'static str),
    /// The place of one of a function's arguments.
    Argument(&'static str, &'static str),
    /// Depends on another.
    KindMask,
}

use From::{Argument, Arguments, Either, KindMask, Member, Newer, Size, Value};

/// The iterator of a message: its kind has been called `type` (4 bytes, bit 0 is the direction) before 5.14.
const ITER_KIND: [&str; 2] = ["msg_iter.iter_type", "msg_iter.type"];

const SOURCES: [(Field, From); FIELDS] = [
    (Field::IterKind, Either("msghdr", &ITER_KIND, 0)),
    (Field::IterKindMask, KindMask),
    (Field::IterOffset, Member("msghdr", "msg_iter.iov_offset", 8)),
    (Field::IterCount, Member("msghdr", "msg_iter.count", 8)),
    (Field::IterElements, Member("msghdr", "msg_iter.nr_segs", 8)),
    (Field::IterVector, Either("msghdr", &["msg_iter.__iov", "msg_iter.iov"], 8)),
    (Field::Iovec, Value("ITER_IOVEC")),
    (Field::Kvec, Value("ITER_KVEC")),
    (Field::Ubuf, Newer("ITER_UBUF")),
    (Field::ElementBase, Member("iovec", "iov_base", 8)),
    (Field::ElementLen, Member("iovec", "iov_len", 8)),
    (Field::ElementSize, Size("iovec")),
    (Field::SocketSock, Member("socket", "sk", 8)),
    (Field::Family, Member("sock", "__sk_common.skc_family", 2)),
    (Field::State, Member("sock", "__sk_common.skc_state", 1)),
    (Field::Shutdown, Member("sock", "sk_shutdown", 1)),
    (Field::Error, Member("sock", "sk_err", 4)),
    (Field::Unread, Member("sock", "sk_receive_queue.qlen", 4)),
    (Field::LocalPort, Member("sock", "__sk_common.skc_num", 2)),
    (Field::PeerPort, Member("sock", "__sk_common.skc_dport", 2)),
    (Field::LocalV4, Member("sock", "__sk_common.skc_rcv_saddr", 4)),
    (Field::PeerV4, Member("sock", "__sk_common.skc_daddr", 4)),
    (Field::LocalV6, Member("sock", "__sk_common.skc_v6_rcv_saddr", 16)),
    (Field::PeerV6, Member("sock", "__sk_common.skc_v6_daddr", 16)),
    (Field::UnixAddress, Member("unix_sock", "addr", 8)),
    (Field::UnixPeer, Member("unix_sock", "peer", 8)),
    (Field::UnixLen, Member("unix_address", "len", 4)),
    (Field::UnixPath, Member("unix_address", "name.sun_path", 1)),
    (Field::WriteSeq, Member("tcp_sock", "write_seq", 4)),
    (Field::CopiedSeq, Member("tcp_sock", "copied_seq", 4)),
    (Field::ReceivedSeq, Member("tcp_sock", "rcv_nxt", 4)),
    (Field::UnixSendArguments, Arguments("unix_stream_sendmsg")),
    (Field::UnixReceiveArguments, Arguments("unix_stream_recvmsg")),
    (Field::TcpReceiveArguments, Arguments("tcp_recvmsg")),
    (Field::TcpReceiveFlags, Argument("tcp_recvmsg", "flags")),
];

/// How many arguments the programs can read.
const ARGUMENTS_MAX: u32 = 6;

/// The names in the kernel's BTF that [`layout`] needs.
pub(super) fn wanted() -> Vec<&'static str> {
    let mut names = vec!["kvec"];
    names.extend(SOURCES.iter().filter_map(|(_, from)| match from {
        Member(name, ..)
        | Either(name, ..)
        | Size(name)
        | Value(name)
        | Newer(name)
        | Arguments(name)
        | Argument(name, _) => Some(*name),
        KindMask => None,
    }));
    names
}

/// The layout of this kernel, or the name of what its BTF does not have in the form that is expected.
pub(super) fn layout(types: &Types<'_>) -> Result<Layout, String> {
    let mut layout = [NONE; FIELDS];
    for (field, from) in &SOURCES {
        let value = value(types, from).ok_or_else(|| from.name())?;
        if let Some(place) = layout.get_mut(*field as usize) {
            *place = value;
        }
    }
    // The programs read both with the same offsets.
    let same = |kvec, iovec| types.member("kvec", kvec) == types.member("iovec", iovec);
    if !same("iov_base", "iov_base") || !same("iov_len", "iov_len") {
        return Err("kvec".to_owned());
    }
    Ok(layout)
}

fn value(types: &Types<'_>, from: &From) -> Option<u32> {
    match *from {
        Member(structure, path, size) => {
            let member = types.member(structure, path)?;
            (size == 0 || size == member.size).then_some(member.offset)
        }
        Either(structure, paths, size) => {
            paths.iter().find_map(|path| value(types, &Member(structure, path, size)))
        }
        Size(structure) => types.size_of(structure),
        Value(name) => types.enumerator(name),
        Newer(name) => Some(types.enumerator(name).unwrap_or(NONE)),
        Arguments(function) => {
            let count = u32::try_from(types.arguments(function)?.len()).ok()?;
            (count <= ARGUMENTS_MAX).then_some(count)
        }
        Argument(function, name) => {
            let place = types.arguments(function)?.iter().position(|argument| argument == name)?;
            u32::try_from(place).ok()
        }
        KindMask => {
            let [newer, older] = ITER_KIND;
            match (types.member("msghdr", newer), types.member("msghdr", older)) {
                (Some(kind), _) if kind.size == 1 => Some(0xff),
                (None, Some(kind)) if kind.size == 4 => Some(!1),
                _ => None,
            }
        }
    }
}

impl From {
    fn name(&self) -> String {
        match self {
            Member(structure, path, _) => format!("{structure}.{path}"),
            Either(structure, paths, _) => format!("{structure}.{}", paths.join(" or ")),
            Size(name) | Value(name) | Newer(name) => (*name).to_owned(),
            Arguments(name) => format!("{name}()"),
            Argument(function, name) => format!("{function}({name})"),
            KindMask => "the iov_iter's kind".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_source_in_its_place() {
        for (place, (field, _)) in SOURCES.iter().enumerate() {
            assert_eq!(*field as usize, place);
        }
    }

    #[test]
    fn the_running_kernel_has_all_of_it() {
        let bytes = std::fs::read(super::super::btf::FILE)
            .expect("the tests need a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
        let layout = layout(&Types::parse(&bytes, &wanted()).unwrap()).unwrap();
        let at = |field: Field| layout[field as usize];
        assert_ne!(at(Field::Iovec), at(Field::Kvec));
        assert_eq!((at(Field::ElementBase), at(Field::ElementLen)), (0, 8));
        assert_eq!(at(Field::UnixSendArguments), 3);
        assert!((4..=6).contains(&at(Field::TcpReceiveArguments)));
        assert!(at(Field::TcpReceiveFlags) >= 3);
    }

    #[test]
    fn what_is_missing_is_named() {
        let bytes = std::fs::read(super::super::btf::FILE).unwrap();
        let some: Vec<_> = wanted().into_iter().filter(|name| *name != "unix_address").collect();
        assert_eq!(layout(&Types::parse(&bytes, &some).unwrap()).unwrap_err(), "unix_address.len");
    }
}
