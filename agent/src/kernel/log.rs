//! What the BPF programs say of rare events, in the agent's own log at debug level.
//!
//! Below that level it is free: the programs are loaded without the code for it.

use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use tracing::Level;

/// The module of the kernel half that tells; `WSTAP_LOG` may name it.
const TARGET: &str = "wstap_ebpf::rare";
/// The programs' ring for it, and the size that costs the least.
const RING: &str = "AYA_LOGS";
const SMALLEST: u32 = 4096;

/// Writes what the programs said since the last call into the log.
pub type Log = Box<dyn FnMut() + Send>;

fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

/// Decides, before the programs are loaded, whether they say anything.
pub(super) fn configure(loader: &mut EbpfLoader<'_>) {
    if !is_wanted() {
        // A constant for the verifier, which then drops what depends on it.
        loader.override_global(aya_log::LEVEL, &0_u8, true).map_max_entries(RING, SMALLEST);
    }
}

/// The reading end, when it is wanted. Without it nothing is lost but these lines.
pub(super) fn open(ebpf: &mut Ebpf) -> Option<Log> {
    if !is_wanted() {
        return None;
    }
    match EbpfLogger::init(ebpf) {
        Ok(mut logger) => Some(Box::new(move || logger.flush())),
        Err(error) => {
            tracing::warn!("cannot read what the BPF programs say: {error}");
            None
        }
    }
}
