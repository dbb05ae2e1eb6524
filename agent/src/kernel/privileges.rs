//! What the agent may still do once it is attached: next to nothing.
//!
//! In: the attached kernel half. Out: a process without the capabilities that loading and attaching took. What is left
//! is named in docs/security.md.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::Kernel;

/// Kept where it was given: what reading other users' /proc takes, to name their processes.
const FOR_NAMES: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);

/// Kept, out of effect, where a folder is watched that may be removed and made again: what attaching takes.
const FOR_FOLDER: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::NET_ADMIN);

/// Does what takes capabilities that this thread has permitted and not in effect.
pub(super) fn with_permitted<T>(privileged: impl FnOnce() -> T) -> T {
    let Ok(had) = capabilities(None) else { return privileged() };
    // Without them it fails, and says why.
    let _ = set_capabilities(None, CapabilitySets { effective: had.permitted, ..had });
    let done = privileged();
    if let Err(error) = set_capabilities(None, had) {
        tracing::error!("the capabilities for attaching stay in effect: {error}");
    }
    done
}

/// Other people's requests lie in this process's memory: from now on it leaves no core dump, and no other process of
/// the same user may read it or trace it (PR_SET_DUMPABLE, prctl(2)). Root may.
pub fn close_memory() {
    // Before Linux 6.4 these are read once from /proc/self/auxv, which is then only root's; rustix panics without it.
    let _ = (procfs::page_size(), procfs::ticks_per_second());
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!("this process's memory stays open to others of its user: {error}");
    }
}

/// What following a mapping to a file that was replaced takes beside them (/proc/PID/map_files, Linux 5.9).
const FOR_MAPPINGS: CapabilitySet = CapabilitySet::CHECKPOINT_RESTORE;

impl Kernel {
    /// Gives up, for this thread and every one that it starts from now on, all capabilities that an attached agent
    /// does without; answers those that it keeps. To be called while there is no other thread.
    pub fn shed_privileges(&self) -> io::Result<CapabilitySet> {
        set_no_new_privs(true)?;
        let had = capabilities(None)?;
        clear_ambient_capability_set()?;
        for capability in CapabilitySet::all().iter() {
            // Without CAP_SETPCAP it stays there, where only a new program could come by it: see no_new_privs.
            let _ = remove_capability_from_bounding_set(capability);
        }
        let kept = had.permitted & FOR_NAMES;
        let may_return = had.permitted & CapabilitySet::BPF;
        let in_reserve = if self.may_attach_again() {
            had.permitted & FOR_FOLDER
        } else {
            CapabilitySet::empty()
        };
        let inheritable = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets {
                effective: kept,
                permitted: kept | may_return | in_reserve,
                inheritable,
            },
        )?;
        // Before Linux 5.19 a process without CAP_BPF may not even read its own maps where
        // kernel.unprivileged_bpf_disabled is set, as it is by default.
        let kept = if self.is_readable() { kept } else { kept | may_return };
        set_capabilities(
            None,
            CapabilitySets { effective: kept, permitted: kept | in_reserve, inheritable },
        )?;
        Ok(kept)
    }
}

/// Gives up, for this thread, all capabilities but what attaching uprobes takes: CAP_SYS_PTRACE for binaries of other
/// mount namespaces and, for perf uprobes, CAP_SYS_ADMIN (a uprobe_multi link of a loaded program takes none).
pub(super) fn keep_for_probes(perf: bool) -> io::Result<()> {
    set_no_new_privs(true)?;
    let admin = if perf { CapabilitySet::SYS_ADMIN } else { CapabilitySet::empty() };
    let kept = capabilities(None)?.permitted & (FOR_NAMES | FOR_MAPPINGS | admin);
    clear_ambient_capability_set()?;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    Ok(())
}
