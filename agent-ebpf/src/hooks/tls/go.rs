//! Go's crypto/tls. Arguments come in registers (ABIInternal, Go 1.17): the `Conn`, then the slice's address, length and
//! capacity; how much was moved goes back in the first. A goroutine may go on in another thread within the call, so that
//! is who calls.

use aya_ebpf::{macros::uprobe, programs::ProbeContext};

use super::{
    calls::{Call, SENDS, begins, closes, key, process, returns},
    end::freed,
};

/// The registers that matter, and the goroutine's own.
struct Registers {
    first: u64,
    second: u64,
    third: u64,
    goroutine: u64,
}

impl Registers {
    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    fn of(context: &ProbeContext) -> Self {
        // SAFETY: the context is the probe's registers.
        let registers = unsafe { &*context.regs };
        Self {
            first: registers.rax,
            second: registers.rbx,
            third: registers.rcx,
            goroutine: registers.r14,
        }
    }

    #[cfg(bpf_target_arch = "aarch64")]
    #[inline(always)]
    fn of(context: &ProbeContext) -> Self {
        // SAFETY: as above.
        let registers = unsafe { &(*context.regs).regs };
        Self {
            first: registers[0],
            second: registers[1],
            third: registers[2],
            goroutine: registers[28],
        }
    }

    /// Unique among those that may call now: goroutines have addresses of their own process.
    #[inline(always)]
    fn caller(&self) -> u64 {
        self.goroutine ^ u64::from(process()) << 48
    }
}

#[inline(always)]
fn call(context: &ProbeContext, sends: bool) {
    let registers = Registers::of(context);
    let (key, buffer) = (key(registers.first), registers.second);
    let call = Call { key, buffer, length_at: 0, kind: if sends { SENDS } else { 0 } };
    begins(registers.caller(), &call, registers.third);
}

/// `(*Conn).Read` begins.
#[uprobe]
pub fn wt_go_read(context: ProbeContext) -> u32 {
    call(&context, false);
    0
}

/// `(*Conn).Write` begins.
#[uprobe]
pub fn wt_go_write(context: ProbeContext) -> u32 {
    call(&context, true);
    0
}

/// One of their returns: a probe on each, for Go's runtime does not bear a return address that is not its own.
#[uprobe]
pub fn wt_go_done(context: ProbeContext) -> u32 {
    let registers = Registers::of(&context);
    returns(registers.caller(), registers.first as i32);
    0
}

/// `(*Conn).Close` begins. Nothing is freed by hand: the next connection at its address has a state of its own.
#[uprobe]
pub fn wt_go_close(context: ProbeContext) -> u32 {
    let object = Registers::of(&context).first;
    closes(object);
    freed(key(object));
    0
}
