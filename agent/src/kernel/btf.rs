//! The kernel's own type information (BTF, Documentation/bpf/btf.rst): where a member is, what an enum's
//! value is, which arguments a function has.
//!
//! In: /sys/kernel/btf/vmlinux. It is read once and dropped; only numbers are kept.

use std::collections::HashMap;

use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The kernel's file.
pub(super) const FILE: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
/// How deep anonymous structures are searched, and how many modifiers are followed.
const DEPTH: u32 = 16;

/// The file's header, as of its version 1.
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: u16,
    version: u8,
    flags: u8,
    length: u32,
    types_at: u32,
    types_len: u32,
    strings_at: u32,
    strings_len: u32,
}

/// A type's kind (include/uapi/linux/btf.h).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The types of a kernel.
pub(super) struct Types<'a> {
    body: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins; ids count from 1.
    places: Vec<u32>,
    /// Structures and functions by name.
    named: HashMap<(u32, &'a [u8]), u32>,
    enumerators: HashMap<&'a [u8], u32>,
}

/// A type's first three words.
#[derive(Clone, Copy)]
struct Type {
    place: usize,
    name: u32,
    info: u32,
    /// The size, or the type that is meant.
    size: u32,
}

impl Type {
    const fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    const fn len(self) -> usize {
        (self.info & 0xffff) as usize
    }
}

/// A member found in a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// In bytes.
    pub offset: u32,
    /// In bytes; of an array, of one element.
    pub size: u32,
}

impl<'a> Types<'a> {
    /// Reads the index; of the names only those in `wanted` are kept. `None` when it is not BTF.
    pub(super) fn parse(bytes: &'a [u8], wanted: &[&str]) -> Option<Self> {
        let (header, _) = Header::read_from_prefix(bytes).ok()?;
        if header.magic != MAGIC || header.version != 1 {
            return None;
        }
        let part = |at: u32, len: u32| {
            let from = (header.length as usize).checked_add(at as usize)?;
            bytes.get(from..from.checked_add(len as usize)?)
        };
        let mut types = Self {
            body: part(header.types_at, header.types_len)?,
            strings: part(header.strings_at, header.strings_len)?,
            places: Vec::new(),
            named: HashMap::new(),
            enumerators: HashMap::new(),
        };
        // The 200,000 names are not read: each is compared by its place among the strings, where each stands once.
        let mut wanted: Vec<u32> =
            wanted.iter().filter_map(|name| place(types.strings, name)).collect();
        wanted.sort_unstable();
        let mut at = 0;
        while at < types.body.len() {
            let one = types.at(at)?;
            types.places.push(u32::try_from(at).ok()?);
            let id = u32::try_from(types.places.len()).ok()?;
            let extra = match one.kind() {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * one.len(),
                kind::ENUM | kind::FUNC_PROTO => 8 * one.len(),
                _ => 0,
            };
            if one.kind() == kind::ENUM {
                for place in 0..one.len() {
                    let at = at + 12 + 8 * place;
                    let (name, value) = (types.word(at)?, types.word(at + 4)?);
                    if wanted.binary_search(&name).is_ok() {
                        types.enumerators.entry(types.string(name)).or_insert(value);
                    }
                }
            }
            if matches!(one.kind(), kind::STRUCT | kind::FUNC)
                && wanted.binary_search(&one.name).is_ok()
            {
                types.named.entry((one.kind(), types.string(one.name))).or_insert(id);
            }
            at += 12 + extra;
        }
        Some(types)
    }

    /// The value of an enum's constant.
    pub(super) fn enumerator(&self, name: &str) -> Option<u32> {
        self.enumerators.get(name.as_bytes()).copied()
    }

    /// The size of a structure in bytes.
    pub(super) fn size_of(&self, structure: &str) -> Option<u32> {
        Some(self.structure(structure)?.size)
    }

    /// Where a member of a structure is, given by its path (`sk_receive_queue.qlen`); anonymous structures on
    /// the way are looked into.
    pub(super) fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let mut within = self.structure(structure)?;
        let mut found = Member { offset: 0, size: within.size };
        for name in path.split('.') {
            let (offset, member) = self.find(within, name.as_bytes(), DEPTH)?;
            within = self.resolved(member)?;
            found = Member { offset: found.offset + offset, size: Self::size(within) };
        }
        Some(found)
    }

    /// The names of a function's arguments.
    pub(super) fn arguments(&self, function: &str) -> Option<Vec<String>> {
        let id = *self.named.get(&(kind::FUNC, function.as_bytes()))?;
        let prototype = self.by_id(self.by_id(id)?.size)?;
        if prototype.kind() != kind::FUNC_PROTO {
            return None;
        }
        let name = |at| {
            let name = self.string(self.word(prototype.place + 12 + 8 * at)?);
            Some(String::from_utf8_lossy(name).into_owned())
        };
        (0..prototype.len()).map(name).collect()
    }

    fn structure(&self, name: &str) -> Option<Type> {
        self.by_id(*self.named.get(&(kind::STRUCT, name.as_bytes()))?)
    }

    /// The offset and the type of a member.
    fn find(&self, within: Type, name: &[u8], depth: u32) -> Option<(u32, u32)> {
        if depth == 0 || !matches!(within.kind(), kind::STRUCT | kind::UNION) {
            return None;
        }
        (0..within.len()).find_map(|number| {
            let at = within.place + 12 + 12 * number;
            let (member, id, offset) = (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            // With bit fields the upper byte is a width: such a member has no place in bytes.
            let bits = if within.info >> 31 == 0 { offset } else { offset & 0x00ff_ffff };
            let member = self.string(member);
            if member == name {
                return (offset == bits).then_some((bits / 8, id));
            }
            if !member.is_empty() {
                return None;
            }
            let (inner, id) = self.find(self.resolved(id)?, name, depth - 1)?;
            Some((bits / 8 + inner, id))
        })
    }

    /// The type behind typedefs and modifiers; of an array, that of its elements.
    fn resolved(&self, id: u32) -> Option<Type> {
        let mut id = id;
        for _ in 0..DEPTH {
            let one = self.by_id(id)?;
            id = match one.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    one.size
                }
                kind::ARRAY => self.word(one.place + 12)?,
                _ => return Some(one),
            };
        }
        None
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let place = self.places.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        self.at(*place as usize)
    }

    /// In bytes.
    fn size(one: Type) -> u32 {
        if one.kind() == kind::PTR { size_of::<u64>() as u32 } else { one.size }
    }

    fn at(&self, place: usize) -> Option<Type> {
        let (words, _) = self.body.get(place..)?.first_chunk::<12>()?.as_chunks();
        let [name, info, size] = words else { return None };
        let [name, info, size] = [name, info, size].map(|word| u32::from_ne_bytes(*word));
        Some(Type { place, name, info, size })
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.body.get(at..)?.first_chunk()?))
    }

    fn string(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        let end = memchr::memchr(0, rest).unwrap_or(0);
        rest.get(..end).unwrap_or_default()
    }
}

/// Where a name stands among the strings, each of which begins behind a zero and ends with one.
fn place(strings: &[u8], name: &str) -> Option<u32> {
    let whole = [b"\0", name.as_bytes(), b"\0"].concat();
    u32::try_from(memchr::memmem::find(strings, &whole)? + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types of the kernel that the test runs on.
    fn with_types(wanted: &[&str], check: impl FnOnce(&Types<'_>)) {
        let bytes =
            std::fs::read(FILE).expect("the tests need a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
        check(&Types::parse(&bytes, wanted).expect("BTF of version 1"));
    }

    #[test]
    fn members_are_found_also_in_anonymous_structures() {
        with_types(&["msghdr", "iov_iter", "sock", "iovec", "sockaddr_un"], |types| {
            // What the system call interface fixes (include/uapi/linux/uio.h, un.h).
            assert_eq!(types.member("iovec", "iov_base"), Some(Member { offset: 0, size: 8 }));
            assert_eq!(types.member("iovec", "iov_len"), Some(Member { offset: 8, size: 8 }));
            assert_eq!(types.size_of("iovec"), Some(16));
            assert_eq!(
                types.member("sockaddr_un", "sun_path"),
                Some(Member { offset: 2, size: 1 })
            );
            let iter = types.member("msghdr", "msg_iter").unwrap();
            let count = types.member("msghdr", "msg_iter.count").unwrap();
            let inner = types.member("iov_iter", "count").unwrap();
            assert_eq!(count.offset, iter.offset + inner.offset);
            assert!(types.member("sock", "__sk_common.skc_dport").unwrap().size == 2);
            assert_eq!(types.member("sock", "no_such_member"), None);
            assert_eq!(types.member("tcp_sock", "write_seq"), None, "it was not asked for");
        });
    }

    #[test]
    fn functions_have_arguments_and_enums_values() {
        with_types(&["tcp_sendmsg", "TCP_LISTEN", "ITER_KVEC"], |types| {
            let arguments = types.arguments("tcp_sendmsg").unwrap();
            assert_eq!(arguments, ["sk", "msg", "size"]);
            assert_eq!(types.enumerator("TCP_LISTEN"), Some(10));
            assert_eq!(types.arguments("no_such_function"), None);
        });
    }

    #[test]
    fn what_is_not_btf_is_refused() {
        assert!(Types::parse(b"", &[]).is_none());
        assert!(Types::parse(&[0; 64], &[]).is_none());
        let mut cut = std::fs::read(FILE).unwrap();
        cut.truncate(100_000);
        assert!(Types::parse(&cut, &[]).is_none());
    }
}
