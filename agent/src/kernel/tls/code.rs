//! What a function's machine code tells: where a probe on it is cheap, and where it returns.
//!
//! The kernel emulates some instructions under a uprobe and single-steps all others. A call through an emulated one
//! costs less than a microsecond, through a single-stepped one some 15 to 20 (measured on x86-64, Linux 6.18).

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction};

/// How much of a function is looked at for the calls that it makes.
pub(super) const BODY: usize = 256;

/// How far behind a function's beginning a probe on it is cheap: 0, or 4 behind an `endbr64`; `None` where the kernel
/// would single-step.
pub(super) fn cheap_entry(code: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut first = decoder.decode();
    let mut skip = 0;
    if first.code() == Code::Endbr64 {
        skip = first.len() as u64;
        first = decoder.decode();
    }
    is_emulated(&first).then_some(skip)
}

/// What arch/x86/kernel/uprobes.c emulates and a function may begin with (`branch_setup_xol_ops`, `push_setup_xol_ops`).
fn is_emulated(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Push_r64 | Code::Nopw | Code::Nopd | Code::Nopq)
        || instruction.is_jmp_short_or_near()
        || instruction.is_call_near()
        || instruction.is_jcc_short_or_near()
}

/// The functions that a function calls or ends with a jump to, as far as [`BODY`] reaches.
pub(super) fn calls(code: &[u8], address: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for instruction in &mut Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.is_call_near() || instruction.is_jmp_near() {
            found.push(instruction.near_branch_target());
        }
        if instruction.flow_control() == FlowControl::Return {
            break;
        }
    }
    found
}

/// How far behind the function's beginning its RET instructions are. A disassembler tells them from operands that look alike.
pub(super) fn returns(code: &[u8]) -> Vec<u64> {
    Decoder::new(64, code, DecoderOptions::NONE)
        .iter()
        .filter(|instruction| instruction.code() == Code::Retnq)
        .map(|instruction| instruction.ip())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_cheap_where_the_kernel_emulates() {
        // push %rbp; endbr64, push %rbx; sub $8,%rsp; endbr64, sub $8,%rsp; jmp.
        assert_eq!(cheap_entry(&[0x55]), Some(0));
        assert_eq!(cheap_entry(&[0xf3, 0x0f, 0x1e, 0xfa, 0x53]), Some(4));
        assert_eq!(cheap_entry(&[0x48, 0x83, 0xec, 0x08]), None);
        assert_eq!(cheap_entry(&[0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x08]), None);
        assert_eq!(cheap_entry(&[0xe9, 0, 0, 0, 0]), Some(0));
        assert_eq!(cheap_entry(&[]), None);
    }

    #[test]
    fn returns_are_found_and_operands_are_not() {
        // mov $0xc3,%al; ret; ret
        assert_eq!(returns(&[0xb0, 0xc3, 0xc3, 0xc3]), [2, 3]);
    }

    #[test]
    fn calls_end_at_the_first_return() {
        // call +0; ret; call +0
        let code = [0xe8, 0, 0, 0, 0, 0xc3, 0xe8, 0, 0, 0, 0];
        assert_eq!(calls(&code, 0x1000), [0x1005]);
    }
}
