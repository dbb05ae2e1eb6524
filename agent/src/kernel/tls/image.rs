//! Where functions are in an ELF file: its dynamic symbols, its symbols, and Go's function table.
//!
//! The file may be anybody's: every number in it is checked, and what does not fit is not found.

use std::fs::File;

use memchr::memmem;
use object::{
    Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, ReadCache,
    ReadRef as _, read::File as Elf,
};

use super::code;

/// The largest section that is read whole (Go's function table, read-only data).
const SECTION_MAX: u64 = 256 << 20;

/// An ELF file that is read where it is asked.
pub(super) struct Image<'a> {
    elf: Elf<'a, &'a ReadCache<File>>,
    data: &'a ReadCache<File>,
}

/// A function by its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    address: u64,
    size: u64,
}

impl<'a> Image<'a> {
    /// `None` when it is no ELF file.
    pub(super) fn read(data: &'a ReadCache<File>) -> Option<Self> {
        Some(Self { elf: Elf::parse(data).ok()?, data })
    }

    /// The first of these functions that it has, by dynamic symbols and, where those lack it, by all symbols.
    pub(super) fn function(&self, name: &str) -> Option<Function> {
        self.elf
            .dynamic_symbols()
            .chain(self.elf.symbols())
            .find(|symbol| symbol.is_definition() && symbol.name() == Ok(name))
            .map(|symbol| Function { address: symbol.address(), size: symbol.size() })
    }

    /// Where in the file an address lies.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        self.elf.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let into = address.checked_sub(segment.address())?;
            (into < size).then(|| offset.checked_add(into))?
        })
    }

    /// Up to `length` bytes of code from an address on.
    fn code(&self, address: u64, length: usize) -> Option<&'a [u8]> {
        let offset = self.offset(address)?;
        let left = self.data.len().ok()?.checked_sub(offset)?;
        self.data.read_bytes_at(offset, left.min(length as u64)).ok()
    }

    /// Where a probe on the function is cheap; `None` where the kernel would single-step.
    pub(super) fn cheap_offset(&self, function: Function) -> Option<u64> {
        let skip = code::cheap_entry(self.code(function.address, 16)?)?;
        self.offset(function.address)?.checked_add(skip)
    }

    /// Where the function begins.
    pub(super) fn begin(&self, function: Function) -> Option<u64> {
        self.offset(function.address)
    }

    /// The function that both call, the first such: OpenSSL's `ssl_read_internal` has no name of its own.
    pub(super) fn common_callee(&self, one: &str, other: &str) -> Option<Function> {
        let calls = |name| {
            let function = self.function(name)?;
            Some(code::calls(self.code(function.address, code::BODY)?, function.address))
        };
        let (of_one, of_other) = (calls(one)?, calls(other)?);
        let address = *of_one.iter().find(|target| of_other.contains(target))?;
        Some(Function { address, size: 0 })
    }

    /// A Go function's beginning and the places of its returns, by its symbol or, in a stripped file, by `.gopclntab`.
    pub(super) fn go(&self, name: &str) -> Option<(u64, Vec<u64>)> {
        let by_symbol = self.function(name).filter(|function| function.size > 0);
        let function = by_symbol.or_else(|| self.by_go_table(name))?;
        let begin = self.begin(function)?;
        let code = self.code(function.address, usize::try_from(function.size).ok()?)?;
        let returns = code::returns(code).into_iter().map(|at| begin + at).collect();
        Some((begin, returns))
    }

    /// Go's own table of functions, of Go 1.18 and later (runtime/symtab.go: `pcHeader`).
    fn by_go_table(&self, name: &str) -> Option<Function> {
        let sections = [".gopclntab", ".data.rel.ro.gopclntab"];
        let section = sections.iter().find_map(|name| self.elf.section_by_name(name))?;
        if section.size() > SECTION_MAX {
            return None;
        }
        let text = self.elf.section_by_name(".text").map(|text| text.address());
        go_function(section.data().ok()?, text, name)
    }

    /// Whether its read-only data hold one of these texts; gives the first.
    pub(super) fn mentions<'t>(&self, texts: &[&'t str]) -> Option<&'t str> {
        let section = self.elf.section_by_name(".rodata").filter(|s| s.size() <= SECTION_MAX)?;
        let data = section.data().ok()?;
        texts.iter().find(|text| memmem::find(data, text.as_bytes()).is_some()).copied()
    }
}

/// Finds a function in Go's table. `text` is where the code begins, which the table itself no longer tells since Go 1.26.
fn go_function(table: &[u8], text: Option<u64>, name: &str) -> Option<Function> {
    const GO_1_18: u32 = 0xffff_fff0;
    const GO_1_20: u32 = 0xffff_fff1;
    let word =
        |at: usize| Some(u64::from_le_bytes(table.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let half =
        |at: usize| Some(u32::from_le_bytes(table.get(at..at.checked_add(4)?)?.try_into().ok()?));
    if ![GO_1_18, GO_1_20].contains(&half(0)?) {
        return None;
    }
    let place = |at: usize| usize::try_from(word(at)?).ok();
    let (count, names, functions) = (place(8)?, place(32)?, place(64)?);
    let start = word(24).filter(|start| *start != 0).or(text)?;
    for number in 0..count {
        let entry = functions.checked_add(number.checked_mul(8)?)?;
        let info = functions.checked_add(half(entry.checked_add(4)?)? as usize)?;
        let named = names.checked_add(half(info.checked_add(4)?)? as usize)?;
        let rest = table.get(named..)?;
        if rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&0) {
            let (begin, next) = (half(entry)?, half(entry.checked_add(8)?)?);
            let address = start.checked_add(begin.into())?;
            return Some(Function { address, size: next.checked_sub(begin)?.into() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A table with two functions, as Go writes it.
    fn table() -> Vec<u8> {
        let mut table = vec![0_u8; 200];
        table[..4].copy_from_slice(&0xffff_fff1_u32.to_le_bytes());
        table[8..16].copy_from_slice(&2_u64.to_le_bytes());
        table[24..32].copy_from_slice(&0x40_0000_u64.to_le_bytes());
        table[32..40].copy_from_slice(&72_u64.to_le_bytes());
        table[64..72].copy_from_slice(&100_u64.to_le_bytes());
        table[72..79].copy_from_slice(b"a.B\0c.D");
        // Begin and info of each, then the end of the last.
        for (at, value) in [(100, 0x10_u32), (104, 40), (108, 0x50), (112, 50), (116, 0x90)] {
            table[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        table[140 + 4..140 + 8].copy_from_slice(&0_u32.to_le_bytes());
        table[150 + 4..150 + 8].copy_from_slice(&4_u32.to_le_bytes());
        table
    }

    #[test]
    fn gos_table_names_functions() {
        let found = go_function(&table(), None, "c.D");
        assert_eq!(found, Some(Function { address: 0x40_0050, size: 0x40 }));
        assert_eq!(go_function(&table(), None, "c.E"), None);
    }

    proptest! {
        #[test]
        fn a_broken_table_finds_nothing_and_does_no_harm(
            at in 0_usize..200, bytes in proptest::collection::vec(any::<u8>(), 1..40), cut in 0_usize..200,
        ) {
            let mut table = table();
            for (place, byte) in table.iter_mut().skip(at).zip(bytes) {
                *place = byte;
            }
            table.truncate(cut);
            let _ = go_function(&table, Some(1), "c.D");
        }
    }
}
